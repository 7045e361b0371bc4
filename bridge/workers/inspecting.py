"""`celery inspect lanes`: what each worker serves of the lanes, and which links it holds, asked of the workers.

It must be imported with the app, not only by the worker: the command line knows only what is there when it starts.
"""

from __future__ import annotations

import time
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import inspect_command

from bridge.ledger.handle import Handle, is_handle
from bridge.workers.heartbeat import describe_worker
from bridge.workers.identity import worker_id
from bridge.workers.installed import serves_lanes
from bridge.workers.tasks import LaneTask

#: how the names of lane queues begin
_PREFIX = "lane-"


@inspect_command()  # type: ignore[untyped-decorator,unused-ignore]
def lanes(state: Any, **_: Any) -> dict[str, Any]:
    """Lane queues of this worker, and the links of chains that it runs or holds ready."""
    worker = state.consumer.controller
    if not serves_lanes(worker.app):
        return {"error": "this worker's app has no bridge"}
    beat = describe_worker(worker, worker_id())
    return {
        "worker": beat.worker,
        "pool": beat.pool,
        "concurrency": beat.concurrency,
        "queues": [name for name in beat.queues if name.startswith(_PREFIX)],
        "tasks": list(beat.tasks),
        "links": [_link(request) for request in _held()],
    }


def _held() -> list[Any]:
    """Links that run come first, then by id."""
    running = {request.id for request in worker_state.active_requests}
    links = [each for each in list(worker_state.requests.values()) if isinstance(each.task, LaneTask)]
    return sorted(links, key=lambda request: (request.id not in running, request.id))


def _link(request: Any) -> dict[str, Any]:
    about = request.info(safe=True)
    started = about["time_start"]
    found = {
        "id": request.id,
        "task": request.name,
        "records": about["args"],
        "queue": (about["delivery_info"] or {}).get("routing_key"),
        "running_seconds": None if started is None else round(max(0.0, time.time() - started), 3),
    }
    arguments = request.args
    if arguments and is_handle(arguments[0]):
        handle = Handle.from_message(arguments[0])
        found |= {"lane": f"{handle.tp.topic}/{handle.tp.partition}/{handle.lane}", "link": handle.link}
    return found
