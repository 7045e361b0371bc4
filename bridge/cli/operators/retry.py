"""The command `retry`."""

from __future__ import annotations

import click

from bridge.cli.operators.options import asking_options, operator_command, parse_targets
from bridge.instructions import Target


@click.command("retry", short_help="Try again now what waits in a lane.")
@click.argument("targets", nargs=-1, required=True, callback=parse_targets, metavar="TARGET...")
@asking_options
@operator_command
@click.pass_context
def retry(
    context: click.Context,
    /,
    targets: tuple[Target, ...],
    timeout: float,
    withdraw: bool,
    who: str,
    as_json: bool,
    **given: object,
) -> None:
    """Try again now, in every lane of each TARGET that waits: TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE.

    A lane that is `retrying` does not wait for its next attempt; one that has `stopped` begins anew, with all its
    attempts; a link that no worker has taken for a second is published again; one that hangs in a pool that cannot stop
    it is not waited for any more. Other lanes of the target are left alone, and so are paused ones. Repair the cause
    first, and restart the workers if their code has changed.

    The bridge that has the lane does it and answers; that takes a second or two. What is not answered in time stays
    asked for: whichever bridge has the lane next does it. --withdraw takes it back.

    \b
    Exit codes:
      0  done, or nothing waited
      1  a lane was not tried again, or a bridge has not answered, or the ledger does not
      2  usage, or an unknown name

    \b
    Examples:
      lanebridge retry orders/3
      lanebridge retry orders payments --timeout 60
      lanebridge retry orders/3/0 --withdraw
    """
    from bridge.cli.operators.desk import desk
    from bridge.cli.operators.retrying import retry_all
    from bridge.cli.operators.withdrawing import withdraw_all

    with desk(context, given, who) as found:
        if withdraw:
            is_done = withdraw_all(found, "retry", targets, as_json=as_json)
        else:
            is_done = retry_all(found, targets, timeout, as_json=as_json)
        context.exit(0 if is_done else 1)
