"""The command line: `lanebridge COMMAND`, and the same commands as `celery -A APP bridge COMMAND`.

Celery imports this module whenever it starts: it must stay light. A command's module is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from bridge.cli.apps import LaneContext, add_working_directory
from bridge.cli.errors import clear_errors
from bridge.cli.options import app_option

#: name -> where the command is
COMMANDS = {
    "run": "bridge.cli.run:run",
    "worker": "bridge.cli.worker:worker",
    "flower": "bridge.cli.flower:flower",
    "lanes": "bridge.cli.lanes:lanes",
    "pause": "bridge.cli.operators.pause:pause",
    "resume": "bridge.cli.operators.pause:resume",
    "retry": "bridge.cli.operators.retry:retry",
    "skip": "bridge.cli.operators.skip:skip",
    "audit": "bridge.cli.operators.audit:audit",
    "dlq": "bridge.cli.dlq.command:dlq",
    "doctor": "bridge.cli.doctor.command:doctor",
    "demo": "bridge.cli.demo:demo",
    "dev": "bridge.cli.dev:dev",
}


class BridgeGroup(click.Group):
    """Finds its commands in COMMANDS; turns Lanebridge's errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if ctx.find_root().obj is None:
            ctx.find_root().obj = LaneContext()
        with clear_errors():
            return super().invoke(ctx)


@click.group("bridge", cls=BridgeGroup)
@app_option
@click.version_option(package_name="lanebridge", prog_name="lanebridge")
def bridge_group() -> None:
    """Carry Kafka partitions into Celery, in order.

    \b
    Try it:          lanebridge demo
    A bridge:        lanebridge run
    Its workers:     lanebridge worker
    What it does:    lanebridge lanes
    Step in:         lanebridge pause, resume, retry, skip
    What is wrong:   lanebridge doctor
    What failed:     lanebridge dlq list

    Each of them works on the Celery app that -A names. The same commands are there as
    `celery -A tasks bridge COMMAND`. Exit codes: 0 clean, 1 fatal error, 2 usage, 3 ended with a stopped lane, 4 with a
    paused one.
    """


def main() -> None:
    """Entry point of the console script `lanebridge`."""
    add_working_directory()
    bridge_group(prog_name="lanebridge")
