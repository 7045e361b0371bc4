"""The heartbeat's thread, with a registry in memory."""

import logging
from collections.abc import Iterator

import pytest

from bridge.entries import Heartbeat
from bridge.workers.heartbeat import HeartbeatThread
from bridge.workers.identity import BEAT, LAPSES, Pulse
from bridge.workers.installed import WorkerSettings
from tests.waiting import wait_until
from tests.workers.fakes import FakeHeartbeats, away, same_rules

QUICK = WorkerSettings(group_id="g", ledger_url="", rules_of=same_rules, heartbeat_interval=0.02)


def describe() -> Heartbeat:
    return Heartbeat("w.1", "w", "solo", ("lane-0",), (), ())


@pytest.fixture
def registry() -> FakeHeartbeats:
    return FakeHeartbeats()


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def thread(registry: FakeHeartbeats, pulse: Pulse) -> Iterator[HeartbeatThread]:
    made = HeartbeatThread("w.1", registry, describe, QUICK, pulse)
    yield made
    made.stop()


def test_the_first_heartbeat_is_there_when_start_returns(registry: FakeHeartbeats, thread: HeartbeatThread) -> None:
    thread.start()
    assert registry.beats


def test_it_goes_on_until_the_worker_ends_and_then_removes_it(
    registry: FakeHeartbeats, thread: HeartbeatThread
) -> None:
    thread.start()
    wait_until(lambda: len(registry.beats) > 3, what="several heartbeats")
    thread.stop()
    count = len(registry.beats)
    assert registry.forgotten == ["w.1"]
    assert len(registry.beats) == count


def test_no_exception_ends_it_and_each_is_logged_once(
    registry: FakeHeartbeats, thread: HeartbeatThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge.workers.heartbeat")
    registry.trouble = away()
    thread.start()
    wait_until(lambda: caplog.records, what="the first log line")
    registry.trouble = RuntimeError("a defect")
    wait_until(lambda: len(caplog.records) > 1, what="the second log line")
    registry.trouble = None
    wait_until(lambda: len(registry.beats) > 2, what="heartbeats again")
    assert [record.getMessage() for record in caplog.records] == [
        "heartbeat not written (ConnectionError: connection refused); tried again every 0.02 s",
        "heartbeat not written (RuntimeError: a defect); tried again every 0.02 s",
        "heartbeat written again",
    ]


def test_a_heartbeat_that_was_gone_is_a_lapse(registry: FakeHeartbeats, thread: HeartbeatThread, pulse: Pulse) -> None:
    thread.start()
    assert (pulse.values[LAPSES], pulse.values[BEAT] > 0) == (0, True)
    registry.alive = False
    wait_until(lambda: pulse.values[LAPSES] > 0, what="a lapse")


def test_a_heartbeat_that_was_not_written_yet_is_no_lapse(
    registry: FakeHeartbeats, thread: HeartbeatThread, pulse: Pulse
) -> None:
    registry.alive, registry.trouble = False, away()
    thread.start()
    registry.trouble = None
    wait_until(lambda: registry.beats, what="the first heartbeat")
    assert pulse.values[LAPSES] in (0, 1)
