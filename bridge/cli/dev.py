"""`lanebridge dev`: an embedded Kafka and Redis until Ctrl-C."""

import signal
import threading

import click

from bridge.cli.options import log_options
from bridge.errors import LanebridgeError

_LOOK_EVERY_S = 0.5


@click.command(short_help="Keep an embedded Kafka and Redis running.")
@log_options("warning")
def dev() -> None:
    """Keep an embedded Kafka and Redis running and print their addresses, until Ctrl-C.

    The addresses come as variables that lanebridge and celery read. Both servers are gone afterwards, with all that
    was in them.

    \b
    Examples:
      lanebridge dev
      lanebridge dev > addresses &    then: export $(cat addresses)
    """
    from bridge.devstack import DevStack

    asked_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: asked_to_stop.set())
    try:
        with DevStack() as stack:
            for name, value in stack.environment().items():
                click.echo(f"{name}={value}")
            click.echo("Both run until Ctrl-C.", err=True)
            while not asked_to_stop.wait(_LOOK_EVERY_S):
                if gone := stack.stopped_servers():
                    raise click.ClickException(f"{' and '.join(gone)} ended by itself; the other one was stopped")
    except KeyboardInterrupt:
        return
    except LanebridgeError as error:
        raise click.ClickException(str(error)) from None
