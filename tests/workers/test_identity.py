"""A worker's id and pulse in its pool children."""

import os
import subprocess
import sys

import pytest

from bridge.workers.identity import BEAT, LAPSES, WORKER_ID, Pulse, name_worker, worker_id


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKER_ID, raising=False)


def test_two_workers_of_one_name_are_two_workers() -> None:
    first, second = name_worker("w@host"), name_worker("w@host")
    assert first != second
    assert first.startswith("w@host.")


def test_the_id_stays_the_same_in_its_process() -> None:
    assert worker_id() == worker_id()
    name = name_worker("w")
    assert worker_id() == name


def test_a_process_started_afresh_inherits_the_id() -> None:
    name = name_worker("w")
    code = "from bridge.workers.identity import worker_id; print(worker_id())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == name


def test_a_forked_child_sees_the_pulse_of_its_worker() -> None:
    pulse = Pulse()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.read(reading, 1)
        os._exit(0 if (pulse.values[LAPSES], pulse.values[BEAT]) == (1.0, 42.0) else 1)
    pulse.lapse()
    pulse.beat(42.0)
    os.write(writing, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reading)
    os.close(writing)
