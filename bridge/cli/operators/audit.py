"""The command `audit`."""

from __future__ import annotations

import click

from bridge.cli.options import common_options, settings_options


@click.command("audit", short_help="Show who has paused, resumed, retried or skipped what.")
@common_options("warning")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--count",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="LINES",
    help="So many of the last lines; 1,000 are kept.",
)
@settings_options("group_id", "ledger_url")
@click.pass_context
def audit(context: click.Context, /, as_json: bool, count: int, **given: object) -> None:
    """Show who did what when, oldest first: pause, resume, retry, skip, from any command line and from Flower.

    A request has two lines: WHO has asked for it, and then the bridge that had the lane, with its RESULT. It is kept
    where the ledger is: a Redis that was emptied has forgotten it.

    \b
    Examples:
      lanebridge audit
      lanebridge audit --count 200 --json | jq '.audit[] | select(.action == "skip")'
    """
    from bridge.cli.operators.audit_table import print_lines
    from bridge.cli.operators.said import echo_json, fields_of
    from bridge.cli.plans import resolve_bridge
    from bridge.cli.sources import ledger_client
    from bridge.ledger.operators import Operators

    bridge = resolve_bridge(context, given)
    with ledger_client(bridge) as client:
        lines = Operators(client, bridge.settings.group_id).audit(count)
    if as_json:
        echo_json({"audit": [fields_of(line) for line in lines]})
    else:
        print_lines(lines, bridge.settings.group_id)
