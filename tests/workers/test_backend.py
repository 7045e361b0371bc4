"""Errors that Celery stores go to the ledger's Redis, and nothing else does."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, states
from celery.app.task import Context
from celery.exceptions import TaskRevokedError, WorkerLostError

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from bridge.workers.backend import ERROR_EXPIRES, TOLD_EXPIRES, ErrorBackend
from bridge.workers.identity import worker_id


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as made:
        yield made


@pytest.fixture
def backend(app: Celery, client: redis.Redis) -> ErrorBackend:
    app.conf.result_backend_transport_options = {"global_keyprefix": "theirs"}
    app.conf.result_serializer = "pickle"
    app.conf.result_compression = "gzip"
    app.conf.result_failure_expires = 5
    return ErrorBackend(app, client)


def stored(client: redis.Redis, task_id: str) -> dict[str, Any]:
    blob = client.get(f"celery-task-meta-{task_id}")
    assert isinstance(blob, bytes)
    entry: dict[str, Any] = json.loads(blob)
    return entry


def test_an_error_is_stored_with_the_workers_id_whatever_the_apps_result_settings_are(
    backend: ErrorBackend, client: redis.Redis, group_name: str
) -> None:
    backend.mark_as_failure(group_name, WorkerLostError("signal 9"))
    entry = stored(client, group_name)
    assert (entry["task_id"], entry["status"], entry["worker"]) == (group_name, "FAILURE", worker_id())
    assert (entry["result"]["exc_type"], entry["result"]["exc_message"]) == ("WorkerLostError", ["signal 9"])
    assert 0 < int(client.ttl(f"celery-task-meta-{group_name}")) <= ERROR_EXPIRES


def test_an_error_that_the_outcome_tells_is_soon_gone_with_those_behind_it_in_the_chain(
    backend: ErrorBackend, client: redis.Redis, group_name: str
) -> None:
    behind = {"task": "t", "options": {"task_id": f"{group_name}-2"}, "args": [], "kwargs": {}}
    request = Context(id=group_name, chain=[behind], has_reported=True)
    backend.mark_as_failure(group_name, ValueError("x"), request=request)
    for task_id in (group_name, f"{group_name}-2"):
        assert 0 < int(client.ttl(f"celery-task-meta-{task_id}")) <= TOLD_EXPIRES
    backend.mark_as_failure(group_name, WorkerLostError("signal 9"), request=Context(id=group_name))
    assert int(client.ttl(f"celery-task-meta-{group_name}")) > TOLD_EXPIRES


def test_an_error_is_published_under_its_key(backend: ErrorBackend, client: redis.Redis, group_name: str) -> None:
    with client.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.psubscribe(f"celery-task-meta-{group_name}*")
        assert heard.get_message(timeout=5.0)["type"] == "psubscribe"
        backend.mark_as_revoked(group_name, "terminated")
        message = heard.get_message(timeout=5.0)
    assert json.loads(message["data"]) == stored(client, group_name)
    assert stored(client, group_name)["result"]["exc_message"] == ["terminated"]


@pytest.mark.parametrize("state", [states.SUCCESS, states.STARTED, states.RETRY, "PROGRESS"])
def test_anything_else_is_dropped(backend: ErrorBackend, client: redis.Redis, group_name: str, state: str) -> None:
    backend.store_result(group_name, {"x": 1}, state)
    assert client.get(f"celery-task-meta-{group_name}") is None


def test_an_exception_of_any_size_and_type_takes_bounded_room(
    backend: ErrorBackend, client: redis.Redis, group_name: str
) -> None:
    backend.mark_as_failure(group_name, ValueError(b"x" * 1_000_000, object()), traceback="y" * 1_000_000)
    assert len(json.dumps(stored(client, group_name))) < 6000


def test_the_errors_of_later_links_are_stored_too(backend: ErrorBackend, client: redis.Redis, group_name: str) -> None:
    later = {"task": "t", "options": {"task_id": f"{group_name}-2"}, "args": [], "kwargs": {}}
    backend.mark_as_failure(group_name, ValueError("x"), request=Context(id=group_name, chain=[later]))
    assert stored(client, f"{group_name}-2")["result"]["exc_type"] == "ValueError"


def test_celerys_own_result_object_reads_the_error(app: Celery, backend: ErrorBackend, group_name: str) -> None:
    backend.mark_as_revoked(group_name, "terminated")
    result = app.AsyncResult(group_name, backend=backend)
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=5.0)


def test_a_redis_that_is_away_does_not_hold_the_worker_up(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    with connect("redis://127.0.0.1:1/0") as nobody, caplog.at_level(logging.WARNING):
        ErrorBackend(app, nobody).mark_as_failure("some-link", ValueError("x"))
    assert "the error of link some-link could not be stored" in caplog.text
