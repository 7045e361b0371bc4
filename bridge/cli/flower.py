"""`lanebridge flower`: Flower for this app, with the Lanes tab, and columns that show what a lane's tasks carry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
from celery import Celery

from bridge.cli.apps import DEFAULT_APP, app_of
from bridge.cli.options import app_option
from bridge.cli.plans import resolve_bridge

#: a link's arguments name its records, its id names its chain: worth a column each
TASKS_COLUMNS = "name,args,uuid,state,received,started,runtime,retries,worker"


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Start Flower for this app.")
@app_option
@click.option("--log-level", metavar="LEVEL", help="The same as Flower's --logging.")
@click.option(
    "--show-values",
    is_flag=True,
    help="Show keys and values of dead letters on the Lanes page to whoever may see it.  [default: headers only]",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def flower(context: click.Context, log_level: str | None, show_values: bool, arguments: tuple[str, ...]) -> None:
    """Start Flower, the web page of Celery's tasks and workers, with a tab for the lanes. ARGUMENTS are Flower's own.

    The Lanes tab shows which lane stands still, why, and what to do, and does it: pause, resume, retry, skip. To act it
    needs a login, --basic-auth or OAuth. The Broker page knows the lane queues, the Tasks page shows the records of
    each task, and it listens on loopback only. Whatever you set (an option, FLOWER_... in the environment,
    flowerconfig.py) counts before these defaults.

    \b
    Examples:
      lanebridge flower
      lanebridge flower --port=5556 --basic-auth=me:secret
      celery -A tasks bridge flower --address=0.0.0.0 --url-prefix=flower
      celery flower --help                             for all options
    """
    from flower.command import flower as flower_command
    from flower.options import options

    know_lane_queues(app_of(context))
    options.tasks_columns, options.address = TASKS_COLUMNS, "127.0.0.1"
    own = [] if log_level is None else [f"--logging={log_level.lower()}"]
    inner = flower_command.make_context("flower", [*own, *arguments], parent=context.parent)
    with inner, lanes_tab(context, show_values):
        flower_command.invoke(inner)


@contextmanager
def lanes_tab(context: click.Context, show_values: bool) -> Iterator[None]:
    """Flower's command makes a Flower with the Lanes tab. It takes no class: its module's name for it is changed."""
    from flower import command

    from bridge.cli.dlq.page import PipelineLetters
    from bridge.ops.lanes_tab.app import LanesFlower, Wish

    bridge = resolve_bridge(context, {})
    letters = PipelineLetters(bridge, _name_of_app(context))
    wish = Wish(group=bridge.settings.group_id, ledger_url=bridge.ledger_url, letters=letters, show_values=show_values)
    plain = command.Flower
    command.Flower = partial(LanesFlower, wish=wish)
    try:
        yield
    finally:
        command.Flower = plain
        letters.end()


def _name_of_app(context: click.Context) -> str:
    """As -A names it."""
    return str(getattr(context.find_root().obj, "name", None) or app_of(context).main or DEFAULT_APP)


def know_lane_queues(app: Celery) -> None:
    """Flower shows the queues that workers have told it about; before they have, those that the app declares."""
    from bridge.app import bridge_of
    from bridge.workers.install import add_lane_queues

    add_lane_queues(app, bridge_of(app).settings.lane_queues)
    app.conf.task_queues = list(app.amqp.queues.values())
