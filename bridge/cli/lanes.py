"""`lanebridge lanes`: what every lane of the group does, from the states that its bridges publish."""

from __future__ import annotations

import click

from bridge.cli.options import common_options, settings_options


@click.command(short_help="Show the state of every lane of the group.")
@common_options("warning")
@click.option("--json", "as_json", is_flag=True, help="Print the same JSON as the bridge's /api/lanes.")
@click.option(
    "--watch",
    type=click.FloatRange(0.1, 3600),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Show them again and again, every 2 seconds or as often as you say, until Ctrl-C.",
)
@settings_options("group_id", "ledger_url")
@click.pass_context
def lanes(context: click.Context, /, as_json: bool, watch: float | None, **given: object) -> None:
    """Show the state of every lane of the group, the ones in trouble first.

    Each bridge of the group publishes what its lanes do once a second; this asks Redis, not the bridges, and shows them
    all. LANE is a topic, its partition, and the number of the lane in it. Offsets are Kafka's: LAG is the end of the
    log less what is committed. AGE is that of the lane's first unfinished record, BUFFERED what waits behind the batch
    under way, TRY which chain of that record is under way or was the last (those of a split batch count). WHY says in a
    sentence what a lane waits for and what happens next. `stalled` goes on by itself as soon as WHY is repaired,
    `stopped` and `paused` wait for a person: `lanebridge retry` or `skip`, `lanebridge resume`.

    Above the table stands what people have paused, and what they have asked for and no bridge has answered yet.

    \b
    Examples:
      lanebridge lanes
      lanebridge lanes --watch
      lanebridge lanes --json | jq '.lanes[] | select(.state == "stopped")'
      celery -A tasks bridge lanes
    """
    from bridge.cli.lanes_page import every, print_lanes, watch_lanes
    from bridge.cli.plans import resolve_bridge
    from bridge.cli.sources import read_group, read_state
    from bridge.ops.state import encode_state

    bridge = resolve_bridge(context, given)
    group = bridge.settings.group_id
    if as_json and watch is not None:
        every(watch, lambda: click.echo(encode_state(read_state(bridge))))
    elif as_json:
        click.echo(encode_state(read_state(bridge)))
    elif watch is not None:
        watch_lanes(lambda: read_group(bridge), group, watch)
    else:
        print_lanes(read_group(bridge), group)
