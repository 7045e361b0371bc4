"""The command `skip`."""

from __future__ import annotations

import click

from bridge.cli.errors import Misused
from bridge.cli.operators.options import asking_options, operator_command, parse_target
from bridge.instructions import Target


@click.command("skip", short_help="Pass a record that failed, for good.")
@click.argument("target", callback=parse_target, metavar="TOPIC/PARTITION[/LANE]")
@click.option(
    "--offset",
    type=click.IntRange(0),
    metavar="OFFSET",
    help="Only this record.  [default: all that stopped the lane's last batch]",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@asking_options
@operator_command
@click.pass_context
def skip(
    context: click.Context,
    /,
    target: Target,
    offset: int | None,
    yes: bool,
    timeout: float,
    withdraw: bool,
    who: str,
    as_json: bool,
    **given: object,
) -> None:
    """Pass the records that a lane stands at, for good: they count as finished and are never handled, and no dead
    letter is written. The lane goes on behind them.

    Only what has failed can be skipped: records that wait for another attempt, or that stopped the lane. They are
    named, with their error, before you are asked. A partition with several lanes needs the lane, unless only one of
    them stands. The records stay in Kafka as long as their topic keeps them.

    The bridge that has the lane does it and answers; that takes a second or two. What is not answered in time stays
    asked for: whichever bridge has the lane next does it. --withdraw takes it back.

    \b
    Exit codes:
      0  skipped
      1  refused, not confirmed, or not answered
      2  usage, or an unknown name

    \b
    Examples:
      lanebridge skip orders/3
      lanebridge skip orders/3/0 --offset 1042 --yes
      lanebridge skip orders/3 --withdraw
    """
    from bridge.cli.operators.desk import desk
    from bridge.cli.operators.skipping import skip_at
    from bridge.cli.operators.withdrawing import withdraw_all

    if target.partition == -1:
        raise Misused(f"name one partition, {target}/PARTITION, or one lane, {target}/PARTITION/LANE")
    with desk(context, given, who) as found:
        if withdraw:
            is_done = withdraw_all(found, "skip", [target], offset, as_json=as_json)
        else:
            is_done = skip_at(found, target, offset, timeout, yes=yes, as_json=as_json)
        context.exit(0 if is_done else 1)
