"""A core's life as its recorder writes it down, read back; and what records carry, as a sum."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core
from bridge.records import Record
from tests.core.bench import TP, Bench
from tests.core.given_up import ONCE, SKIPS, running
from tests.faults import history, recorder, sums
from tests.faults.events import Assigned, CommitOk, CommitTry, Dispatched, Letters, Other, Said, Settled, Start, Taken
from tests.faults.history import read, read_history


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every core of the test is recorded here."""
    monkeypatch.setattr(Core, "handle", Core.handle)  # set back behind the test
    recorder.install(str(tmp_path), "b0")
    return tmp_path


def _said(directory: Path) -> list[Said]:
    return [said for said in read_history(directory).bridges if not isinstance(said, Other)]


def _others(directory: Path, name: str) -> list[dict[str, object]]:
    found = [said for said in read_history(directory).bridges if isinstance(said, Other) and said.name == name]
    return [{key: value for key, value in said.about.items() if key not in ("at", "pid", "event")} for said in found]


def test_an_assignment_a_batch_and_its_commit_are_written_down_in_order(directory: Path) -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.wait(10)
    said = _said(directory)
    assert [type(each) for each in said] == [Assigned, CommitTry, CommitOk, Start, Dispatched, CommitTry, CommitOk]
    owner = bench.partition().owner.number
    start, dispatched, tried, taken = said[3:]
    assert isinstance(start, Start)
    assert (start.tp, start.offset, start.relocated) == (TP, 0, False)
    assert isinstance(dispatched, Dispatched)
    assert (dispatched.tp, dispatched.lane, dispatched.owner, dispatched.offsets) == (TP, 0, owner, (0, 1, 2))
    assert isinstance(tried, CommitTry)
    assert tried.entries == ((TP, 3, owner),)
    assert isinstance(taken, CommitOk)
    assert taken.entries[0][:3] == (TP, 3, owner)
    assert taken.entries[0][3] <= tried.at
    assert _others(directory, "outcome")[0]["kind"] == "ok"


def test_the_last_commit_of_a_revocation_comes_before_it(directory: Path) -> None:
    bench = Bench(commit_interval=60.0).assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.handle(ev.Revoked((TP,)))
    last = [said for said in _said(directory) if isinstance(said, (CommitTry, Taken))][-2:]
    assert isinstance(last[0], CommitTry)
    assert last[0].entries[0][:2] == (TP, 3)
    assert isinstance(last[1], Taken)
    assert not last[1].lost


def test_a_loss_is_written_down(directory: Path) -> None:
    Bench().assign().handle(ev.Lost((TP,)))
    assert _said(directory)[-1:] == [Taken(_said(directory)[-1].at, _said(directory)[-1].pid, (TP,), lost=True)]


def test_an_outcome_that_only_the_sweep_finds_is_written_down(directory: Path) -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete(heard=False)
    bench.wait(3)
    assert [(outcome["kind"], outcome["next"]) for outcome in _others(directory, "outcome")] == [("ok", 3)]


def test_dead_letters_are_written_down_when_they_are_acknowledged(directory: Path) -> None:
    bench = running(ONCE)
    bench.silent.add(ef.WriteDeadLetters)
    bench.fail(1)
    assert not any(isinstance(said, (Letters, Settled)) for said in _said(directory))
    bench.carry_out_kept()
    letters, settled = (said for said in _said(directory) if isinstance(said, (Letters, Settled)))
    assert isinstance(letters, Letters)
    assert letters.places == ((*TP, 1),)
    assert isinstance(settled, Settled)
    assert (settled.upto, settled.skipped) == (2, ())


def test_a_record_that_is_skipped_is_written_down_when_that_is_settled(directory: Path) -> None:
    running(SKIPS).fail(1)
    settled = [said for said in _said(directory) if isinstance(said, Settled)]
    assert [(said.tp, said.upto, said.skipped) for said in settled] == [(TP, 2, (1,))]


def test_a_commit_that_is_not_confirmed_is_written_down_as_such(directory: Path) -> None:
    bench = Bench()
    bench.answer = ev.CommitAnswer.AGAIN
    bench.assign()
    assert _others(directory, "commit_err")
    assert not any(isinstance(said, CommitOk) for said in _said(directory))


def test_the_answer_to_a_commit_belongs_to_its_last_try_when_the_one_before_has_failed(directory: Path) -> None:
    bench = Bench()
    bench.silent = {ef.Commit}
    bench.assign()
    (commit,) = bench.take(ef.Commit)
    bench.handle(ev.EffectFailed(commit, "Kafka is away"))
    bench.silent = set()
    bench.wait(30)
    tries = [said.at for said in _said(directory) if isinstance(said, CommitTry)]
    (taken,) = [said for said in _said(directory) if isinstance(said, CommitOk)]
    assert len(tries) == 2
    assert tries[0] < taken.entries[0][3] <= tries[1]


def test_a_refused_dispatch_is_written_down_as_such(directory: Path) -> None:
    bench = Bench().assign()
    bench.ledger.assign(TP, "other", 0)
    bench.fetch(0, 1, 2)
    assert [refused["answer"] for refused in _others(directory, "refused")] == ["not owner"]


# --- reading, sums ----------------------------------------------------------------------------------------------------


def test_lines_of_others_do_not_disturb_the_reading_of_runs(tmp_path: Path) -> None:
    about = {"link": "link1", "topic": "t", "partition": 0, "lane": 0, "chain": "a", "attempt": 1, "worker": "w"}
    lines: list[dict[str, object]] = [
        {"event": "started", "bridge": "b0"},
        {"event": "begin", "run": "x", "offsets": [[0, 2]], "queue": "lane-0", "sums": [7, 8, 9], **about},
        {"event": "produced", "topic": "t", "partition": 0, "records": [[2, 9], [0, 7]]},
        {"event": "end", "run": "x"},
        {"event": "something new"},
    ]
    for line in lines:
        history.write(str(tmp_path), line)
    (run,) = read(tmp_path)
    assert (run.offsets, run.sums, run.end is None) == ((0, 1, 2), (7, 8, 9), False)
    found = read_history(tmp_path)
    assert list(found.runs) == [run]
    assert found.produced == {("t", 0): {0: 7, 2: 9}}


DIFFERENT = [
    Record("t", 0, 0, 5, b"k", b"v"),
    Record("t", 0, 0, 6, b"k", b"v"),
    Record("t", 0, 0, 5, None, b"v"),
    Record("t", 0, 0, 5, b"", b"v"),
    Record("t", 0, 0, 5, b"k", None),
    Record("t", 0, 0, 5, b"k", b""),
    Record("t", 0, 0, 5, b"kv", b""),
    Record("t", 0, 0, 5, b"k", b"v", (("h", None),)),
    Record("t", 0, 0, 5, b"k", b"v", (("h", b""),)),
    Record("t", 0, 0, 5, b"k", b"v", (("h", b"1"), ("h", b"2"))),
    Record("t", 0, 0, 5, b"k", b"v", (("h", b"2"), ("h", b"1"))),
]


def test_records_that_differ_in_anything_they_carry_have_different_sums() -> None:
    assert len({sums.of_record(record) for record in DIFFERENT}) == len(DIFFERENT)
    assert sums.of_record(DIFFERENT[0]) == sums.digest(5, b"k", b"v")
