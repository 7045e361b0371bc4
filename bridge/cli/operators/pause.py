"""The commands `pause` and `resume`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.cli.operators.options import note_of, operator_command, parse_targets
from bridge.instructions import Target

Command = TypeVar("Command", bound=Callable[..., Any])


def _targets(command: Command) -> Command:
    pipelines = click.option(
        "--pipeline",
        "pipelines",
        multiple=True,
        metavar="NAME",
        help="All topics of this pipeline, of an expression those that bridges show now; may be repeated.",
    )
    return click.argument("targets", nargs=-1, callback=parse_targets, metavar="[TARGET]...")(pipelines(command))


@click.command("pause", short_help="Dispatch nothing more of a topic, a partition or a lane.")
@_targets
@click.option("--note", default="", metavar="TEXT", callback=note_of, help="Why, for everybody who looks.")
@operator_command
@click.pass_context
def pause(
    context: click.Context,
    /,
    targets: tuple[Target, ...],
    pipelines: tuple[str, ...],
    note: str,
    who: str,
    as_json: bool,
    **given: object,
) -> None:
    """Dispatch nothing more of each TARGET until it is resumed: TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE.

    What is in flight ends and is committed. The bridges read what is still to come as far as their memory allows, and
    go on polling Kafka: the group does not change. A pause lasts, whichever bridge has the partition, also when all of
    them are restarted; `lanebridge lanes` shows who has paused what, since when and why. Pause the topics of a database
    before you work on it: nothing fails meanwhile, no attempt is used up.

    \b
    Exit codes:
      0  paused, by you or by somebody before
      1  the ledger does not answer
      2  usage, or an unknown name

    \b
    Examples:
      lanebridge pause orders --note "database upgrade, until 14:00"
      lanebridge pause orders/3 orders/4
      lanebridge pause payments/0/5
      lanebridge pause --pipeline orders --as release-bot
    """
    from bridge.cli.operators.desk import desk
    from bridge.cli.operators.pausing import pause_all

    with desk(context, given, who) as found:
        pause_all(found, targets, pipelines, note, as_json=as_json)


@click.command("resume", short_help="Go on with what was paused.")
@_targets
@operator_command
@click.pass_context
def resume(
    context: click.Context,
    /,
    targets: tuple[Target, ...],
    pipelines: tuple[str, ...],
    who: str,
    as_json: bool,
    **given: object,
) -> None:
    """Go on with each TARGET: TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE. Resuming a topic also resumes those of
    its partitions and lanes that were paused by themselves.

    A partition of a topic that is paused as a whole does not go on by itself: resume the topic, then pause the
    partitions that should wait.

    \b
    Exit codes:
      0  nothing of it is paused any more
      1  it is still paused, as a part of what the answer names; or the ledger does not answer
      2  usage, or an unknown name

    \b
    Examples:
      lanebridge resume orders
      lanebridge resume orders/3 payments/0/5
      lanebridge resume --pipeline orders
    """
    from bridge.cli.operators.desk import desk
    from bridge.cli.operators.pausing import resume_all

    with desk(context, given, who) as found:
        context.exit(0 if resume_all(found, targets, pipelines, as_json=as_json) else 1)
