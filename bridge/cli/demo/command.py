"""The command: what the demo needs, and its exit code: 0 when every check held, else 1 with what did not."""

from __future__ import annotations

import importlib.util
import os

import click

from bridge.cli.apps import DEFAULT_APP, LaneContext, add_working_directory, app_of
from bridge.cli.demo.checks import Scenario
from bridge.cli.errors import Failed
from bridge.cli.options import common_options

#: the topic of the guide and of the example app
TOPIC = "test"


@click.command()
@common_options("warning")
@click.option("--messages", type=click.IntRange(1), default=1000, show_default=True, help="How many records.")
@click.option("--partitions", type=click.IntRange(1), default=3, show_default=True, help="Of the topic.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Records produced a second.  [default: as fast as it goes]"
)
@click.option("--keep", is_flag=True, help="Keep all of it running until Ctrl-C, and print the addresses.")
@click.pass_context
def demo(context: click.Context, messages: int, partitions: int, rate: float | None, keep: bool) -> None:
    """Show the whole path: an embedded Kafka and Redis, two workers, Flower, the bridge.

    The numbers "1" to "1000" go to the topic `test`, each to the partition number mod 3. The example app in tasks/
    doubles and prints them. At the end a table says per partition what the tasks printed and what the broker has
    committed. Everything that was started is stopped; exit code 0 when every check held, else 1.

    \b
    Examples:
      lanebridge demo
      lanebridge demo --messages 100000 --partitions 12
      lanebridge demo --keep --rate 20
    """
    from bridge.cli.demo.play import Wish, play
    from bridge.cli.demo.screen import Screen
    from bridge.cli.demo.stage import forget_other_servers

    forget_other_servers()
    group, lane_queues = _example(context)
    scenario = Scenario(TOPIC, messages, partitions)
    verdict = play(Wish(_app_name(context), group, lane_queues, scenario, rate, keep), Screen())
    if not verdict.finished:
        raise Failed("The demo was interrupted before its table. All that it started is stopped.")
    if verdict.problems:
        raise Failed("These checks did not hold: " + "; ".join(verdict.problems))
    click.echo("Every check held. All that was started is stopped.")


def _app_name(context: click.Context) -> str:
    chosen = context.find_root().obj
    return chosen.name if isinstance(chosen, LaneContext) else DEFAULT_APP


def _example(context: click.Context) -> tuple[str, int]:
    """Group and number of lane queues of the example app. Raises Failed when it is not here."""
    from bridge.app import bridge_of

    name = _app_name(context)
    add_working_directory()
    if importlib.util.find_spec(name.partition(":")[0].partition(".")[0]) is None:
        raise Failed(
            f"The demo runs the example app of a clone, and there is no {name!r} in {os.getcwd()}. "
            "Remedy: run it in a clone of the repository (./run demo). For an app of your own: lanebridge dev gives "
            "you a Kafka and a Redis, then lanebridge run and lanebridge worker"
        )
    bridge = bridge_of(app_of(context))
    if not any(TOPIC in pipeline.topics for pipeline in bridge.pipelines):
        raise Failed(
            f"The demo needs the example app of a clone: {name!r} has no pipeline for the topic {TOPIC!r}. "
            "Remedy: run it in a clone of the repository (./run demo)"
        )
    return bridge.settings.group_id, bridge.settings.lane_queues
