"""`lanebridge lanes`: what every lane of the group does, from the states that its bridges publish."""

from __future__ import annotations

import click

from bridge.cli.options import common_options, settings_options


@click.command(short_help="Show the state of every lane of the group.")
@common_options("warning")
@click.option("--json", "as_json", is_flag=True, help="Print the same JSON as the bridge's /api/lanes.")
@settings_options("group_id", "ledger_url")
@click.pass_context
def lanes(context: click.Context, /, as_json: bool, **given: object) -> None:
    """Show the state of every lane of the group, the ones in trouble first.

    Each bridge of the group publishes what its lanes do once a second; this asks Redis, not the bridges, and shows them
    all. LANE is a topic, its partition, and the number of the lane in it. Offsets are Kafka's: LAG is the end of the
    log less what is committed. AGE is that of the lane's first unfinished record, BUFFERED what waits behind the batch
    under way, TRY which chain of that record is under way or was the last (those of a split batch count). WHY says in a
    sentence what a lane waits for and what happens next. `stalled` goes on by itself as soon as WHY is repaired,
    `stopped` waits for a person.

    \b
    Examples:
      lanebridge lanes
      lanebridge lanes --json | jq '.lanes[] | select(.state == "stopped")'
      celery -A tasks bridge lanes
    """
    from bridge.cli.lanes_table import print_lanes
    from bridge.cli.plans import resolve_bridge
    from bridge.cli.sources import read_state
    from bridge.ops.state import encode_state

    bridge = resolve_bridge(context, given)
    state = read_state(bridge)
    if as_json:
        click.echo(encode_state(state))
    else:
        print_lanes(state, bridge.settings.group_id)
