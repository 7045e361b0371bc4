"""The command line: `lanebridge COMMAND`, and the same commands as `celery -A APP bridge COMMAND`."""

import click

from bridge.cli.dev import dev


@click.group("bridge")
def bridge_group() -> None:
    """Carry Kafka partitions into Celery in order."""


bridge_group.add_command(dev)


def main() -> None:
    """Entry point of the console script `lanebridge`."""
    bridge_group(prog_name="lanebridge")
