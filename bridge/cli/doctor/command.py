"""The command: runs all checks, prints what they found, ends with 1 when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.doctor.findings import Finding, Level
from bridge.cli.errors import FATAL
from bridge.cli.logs import one_line
from bridge.cli.options import common_options, settings_options

if TYPE_CHECKING:
    from bridge.app import Bridge

STYLES: dict[Level, dict[str, Any]] = {
    "ok": {"fg": "green"},
    "note": {"dim": True},
    "warning": {"fg": "yellow"},
    "problem": {"fg": "red", "bold": True},
}

#: one chapter of the examination: what it is about, and how to find out
Chapter = tuple[str, Callable[[], list[Finding]]]


@click.command(short_help="Say what is wrong, with the remedy.")
@common_options("error")
@settings_options()
@click.pass_context
def doctor(context: click.Context, /, **given: object) -> None:
    """Look at everything that a bridge needs and say what is wrong, with the remedy.

    It asks Kafka, Redis, the Celery broker and the workers, and changes nothing. It takes the options of `run`, and
    shows which value of each counts and where it comes from. Ends with 1 when there is a problem.

    \b
    Examples:
      lanebridge doctor
      lanebridge doctor --bootstrap-servers kafka-1:9092
      celery -A tasks bridge doctor
    """
    from bridge.cli.plans import resolve_bridge

    levels = [finding.level for finding in _examine(resolve_bridge(context, given))]
    problems, warnings = levels.count("problem"), levels.count("warning")
    click.echo(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}.")
    if problems:
        context.exit(FATAL)


def _examine(bridge: Bridge) -> Iterator[Finding]:
    for title, look in _chapters(bridge):
        click.secho(f"\n{title}", bold=True)
        for finding in look():
            _print(finding)
            yield finding


def _chapters(bridge: Bridge) -> tuple[Chapter, ...]:
    from bridge.cli.doctor.celery_app import look_at_celery
    from bridge.cli.doctor.declaration import look_at_declaration, plan_as_declared
    from bridge.cli.doctor.kafka import KafkaCheck
    from bridge.cli.doctor.ledger import look_at_ledger
    from bridge.cli.doctor.settings import look_at_settings
    from bridge.cli.doctor.versions import look_at_versions
    from bridge.cli.doctor.workers import look_at_workers

    plan = plan_as_declared(bridge)
    kafka = KafkaCheck(plan)
    return (
        ("Versions", look_at_versions),
        ("Options", lambda: look_at_settings(bridge.resolved)),
        ("Pipelines", lambda: look_at_declaration(bridge)),
        ("Kafka", kafka.look),
        ("Ledger", lambda: look_at_ledger(plan.ledger_url)),
        ("Celery", lambda: look_at_celery(plan)),
        ("Workers", lambda: look_at_workers(plan, kafka.partitions)),
    )


def _print(finding: Finding) -> None:
    level = finding.level
    mark = click.style(f"{'' if level == 'note' else level:>7}", **STYLES[level])
    click.echo(f"{mark}  {one_line(finding.text)}")
    if finding.remedy:
        click.echo(f"{'':7}  -> {one_line(finding.remedy)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
