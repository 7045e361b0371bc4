"""`celery -A tasks bridge worker`: Celery's own worker for lane queues alone, with the settings that make it fast.

Rules: every option of `celery worker` works, and what is given counts. The transport's un-acked copy of each message is
switched off only when nothing but lane queues is served: links are published again by the bridge, other tasks are not.
"""

from __future__ import annotations

import click
from celery import Celery
from celery.bin.worker import worker as celery_worker

from bridge.workers.identity import make_pool_ignore_sigterm
from bridge.workers.install import add_lane_queues, lane_queue
from bridge.workers.installed import serves_lanes, settings_of

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.command("worker", context_settings=_PASS_ON, short_help="Start a worker for lane queues.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def worker_command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Start a worker for lane queues: all of them, or those of -Q. Takes every option of `celery worker`."""
    root = context.find_root()
    app: Celery = root.obj.app
    if not serves_lanes(app):
        raise click.UsageError(
            f"The app {app.main or '__main__'!r} has no bridge. Remedy: bridge = Bridge(app, group_id=...) beside it."
        )
    lanes = [lane_queue(number) for number in range(settings_of(app).lane_queues)]
    add_lane_queues(app, len(lanes))
    _quicken(app)
    own = ["--without-gossip", "--without-mingle", *arguments]
    inner = celery_worker.make_context("worker", own, parent=root)
    if inner.params["queues"] is None:
        inner.params["queues"] = lanes
    _drop_copies(app, only_lanes=set(inner.params["queues"]) <= set(lanes))
    with inner:
        celery_worker.invoke(inner)


def _quicken(app: Celery) -> None:
    """Before the arguments are read: they may say otherwise."""
    app.conf.worker_prefetch_multiplier = 1
    make_pool_ignore_sigterm()


def _drop_copies(app: Celery, *, only_lanes: bool) -> None:
    if only_lanes:
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, "ack_emulation": False}
