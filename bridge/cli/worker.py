"""`lanebridge worker`: a Celery worker for lane queues."""

from __future__ import annotations

import click
from celery import maybe_patch_concurrency

from bridge.cli.options import app_option


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Start a worker for lane queues.")
@app_option
@click.option("--log-level", metavar="LEVEL", help="The same as Celery's --loglevel.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def worker(context: click.Context, log_level: str | None, arguments: tuple[str, ...]) -> None:
    """Start a worker for lane queues: all of them, or those of -Q. ARGUMENTS are those of `celery worker`.

    It consumes lane queues only, with the settings that make lanes fast; its pool children outlive a SIGTERM that is
    sent to the whole process group. A plain `celery -A tasks worker` serves lanes too, beside the app's own queues.

    \b
    Examples:
      lanebridge worker -c 4
      lanebridge worker -n worker0@%h -Q lane-0,lane-1
      celery -A tasks bridge worker -P solo -l INFO
      celery worker --help                             for all options
    """
    from bridge.workers.command import worker_command

    maybe_patch_concurrency()
    level = () if log_level is None else ("--loglevel", log_level)
    inner = worker_command.make_context("worker", [*level, *arguments], parent=context.parent)
    with inner:
        worker_command.invoke(inner)
