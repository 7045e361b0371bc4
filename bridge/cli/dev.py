"""`lanebridge dev`: an embedded Kafka and Redis until Ctrl-C."""

import click


@click.command()
def dev() -> None:
    """Keep an embedded Kafka and Redis running and print their addresses, until Ctrl-C."""
    raise click.ClickException("the embedded servers are not installed")
