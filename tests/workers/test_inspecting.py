"""`celery -A APP inspect lanes`: each worker says which lane queues it serves and which links it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from bridge.devstack import RedisServer
from bridge.entries import link_id
from tests.waiting import wait_until
from tests.workers.conftest import PLAIN, QUIET, StartWorker
from tests.workers.standin import Link, StandIn, rows


def inspect(redis_server: RedisServer, standin: StandIn) -> dict[str, Any]:
    """What the command prints of the stand-in's worker, {} as long as that does not answer."""
    command = (sys.executable, "-m", "celery", "-A", PLAIN, "inspect", "lanes", "--json", "--timeout", "5")
    environ = {**os.environ, "TEST_REDIS_URL": redis_server.url, "TEST_GROUP": standin.group}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    answers: dict[str, Any] = json.loads(ended.stdout) if ended.returncode == 0 else {}
    found: dict[str, Any] = answers.get(standin.hostname, {})
    return found


def test_it_names_queues_and_links(redis_server: RedisServer, standin: StandIn, start_worker: StartWorker) -> None:
    worker = start_worker("worker", "-n", standin.hostname, "-c", "1", "-Q", "lane-0,lane-3,celery", *QUIET, app=PLAIN)
    beat = worker.wait_until_alive(standin.ledger, standin.hostname)
    sent = standin.send([Link(f"{PLAIN}.gated", ("go",)), Link(f"{PLAIN}.store")], rows(1, 2))
    standin.wait_for_entry(task="gated", event="begun", id=sent.chain)
    found = wait_until(lambda: inspect(redis_server, standin), 90.0, "an answer of the worker")
    assert (found["worker"], found["pool"], found["concurrency"]) == (beat.worker, "prefork", 1)
    assert found["queues"] == ["lane-0", "lane-3"]
    assert f"{PLAIN}.gated" in found["tasks"]
    (link,) = found["links"]
    place = f"{standin.tp.topic}/{standin.tp.partition}/0"
    assert (link["id"], link["lane"], link["link"]) == (link_id(sent.chain, 1), place, 1)
    assert (link["task"], link["queue"]) == (f"{PLAIN}.gated", "lane-0")
    assert link["running_seconds"] >= 0
    assert "lb" not in str(link["records"])
    standin.open_gate("go")
    assert standin.outcome(sent).kind == "ok"
    wait_until(lambda: inspect(redis_server, standin).get("links") == [], 90.0, "a worker without links")
