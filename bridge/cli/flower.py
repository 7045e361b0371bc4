"""`lanebridge flower`: Flower for this app, with columns that show what a lane's tasks carry."""

from __future__ import annotations

import click
from celery import Celery

from bridge.cli.apps import app_of
from bridge.cli.options import app_option

#: a link's arguments name its records, its id names its chain: worth a column each
TASKS_COLUMNS = "name,args,uuid,state,received,started,runtime,retries,worker"


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Start Flower for this app.")
@app_option
@click.option("--log-level", metavar="LEVEL", help="The same as Flower's --logging.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def flower(context: click.Context, log_level: str | None, arguments: tuple[str, ...]) -> None:
    """Start Flower, the web page of Celery's tasks and workers. ARGUMENTS are Flower's own.

    The Broker page knows the lane queues, the Tasks page shows the records of each task, and it listens on loopback
    only. Whatever you set (an option, FLOWER_... in the environment, flowerconfig.py) counts before these defaults.

    \b
    Examples:
      lanebridge flower
      lanebridge flower --port=5556 --basic-auth=me:secret
      celery -A tasks bridge flower --address=0.0.0.0 --url-prefix=flower
      celery flower --help                             for all options
    """
    from flower.command import flower as flower_command
    from flower.options import options

    know_lane_queues(app_of(context))
    options.tasks_columns, options.address = TASKS_COLUMNS, "127.0.0.1"
    own = [] if log_level is None else [f"--logging={log_level.lower()}"]
    inner = flower_command.make_context("flower", [*own, *arguments], parent=context.parent)
    with inner:
        flower_command.invoke(inner)


def know_lane_queues(app: Celery) -> None:
    """Flower shows the queues that workers have told it about; before they have, those that the app declares."""
    from bridge.app import bridge_of
    from bridge.workers.install import add_lane_queues

    add_lane_queues(app, bridge_of(app).settings.lane_queues)
    app.conf.task_queues = list(app.amqp.queues.values())
