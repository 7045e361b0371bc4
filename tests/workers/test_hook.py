"""A pipeline's `on_failed` task is asked what becomes of records that are given up."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from bridge.entries import Decided, Failure, Outcome, Rejection
from bridge.ledger.outcomes import decode_outcome, encode_outcome
from bridge.records import Batch, Failed, Record
from bridge.workers.errors import ClaimRefused, LinkFailed, NoDecision
from bridge.workers.rules import read_json
from tests.workers.fakes import Bench, payload, ruled
from tests.workers.standin import rows
from tests.workers.test_link import batch_task, record_task

MakeBench = Callable[..., Bench]

REJECTED = (
    Rejection(11, "ValueError: odd", 2, "store", "rejected", "ValueError", "Traceback ...", 1, 7),
    Rejection(13, "no", 1, "parse", "undecodable", "JSONDecodeError", "", 3, 8),
)
JUDGED = Outcome("partial", 15, Failure(15, named=True, exception="KeyError", message="late"), REJECTED, 2.0)
ROWS = [(11, 0, b"k", b"1", ()), (13, 0, b"k", b"{", ())]


def alone(kind: Any, **about: Any) -> Outcome:
    """An outcome that stopped at one record, and rejected none."""
    return Outcome("failed", 10, Failure(10, kind, True, 2, "store", **about))


def asked(app: Celery, table: Bench, answer: Any) -> Outcome:
    """Ask a task that returns `answer`; what it reported."""
    table.run(batch_task(app, lambda batch: answer))
    return table.ledger.outcome


def decided(*actions: Any) -> tuple[Decided, ...]:
    return tuple(Decided(offset, action) for offset, action in zip((11, 13), actions, strict=True))


# --- what it gets -----------------------------------------------------------------------------------------------------


def test_it_gets_the_records_at_stake_and_why_each_is_given_up(app: Celery, bench: MakeBench) -> None:
    seen: list[Batch] = []

    def decide(batch: Batch) -> str:
        seen.append(batch)
        return "skip"

    bench(payload(ROWS, judged=JUDGED, last=20)).run(batch_task(app, decide))
    (batch,) = seen
    first, second = batch
    assert (first, second.value) == (Record("numbers", 0, 11, 0, b"k", b"1"), b"{")
    assert (batch.topic, batch.lane, batch.id, batch.token) == ("numbers", 0, "g.chain", 7)
    assert batch.failures == (
        Failed(first, "rejected", "ValueError", "ValueError: odd", "Traceback ...", "store", 2),
        Failed(second, "undecodable", "JSONDecodeError", "no", "", "parse", 1),
    )


@pytest.mark.parametrize(
    ("kind", "disposition"),
    [("failed", "exhausted"), ("timeout", "timeout"), ("worker_lost", "worker_lost"), ("revoked", "exhausted")],
)
def test_the_record_that_stopped_the_chain_says_what_it_is_given_up_as(
    app: Celery, bench: MakeBench, kind: str, disposition: str
) -> None:
    seen: list[Failed] = []

    def decide(batch: Batch) -> list[str]:
        seen.extend(batch.failures)
        return ["stop"]

    judged = alone(kind, exception="KeyError", message="amount", traceback="Traceback ...")
    bench(payload(rows(1), judged=judged)).run(batch_task(app, decide))
    (failed,) = seen
    assert (failed.record.offset, failed.disposition) == (10, disposition)
    assert (failed.exception, failed.message, failed.traceback) == ("KeyError", "amount", "Traceback ...")
    assert (failed.task, failed.link) == ("store", 2)


def test_an_outcome_that_does_not_say_why_is_asked_about_too(app: Celery, bench: MakeBench) -> None:
    seen: list[Failed] = []

    def decide(batch: Batch) -> str:
        seen.extend(batch.failures)
        return "skip"

    bench(payload(rows(1), judged=Outcome("failed", 10))).run(batch_task(app, decide))
    assert [each.message for each in seen] == ["the chain ended without saying why"]


def test_records_are_never_decoded_for_it(app: Celery, bench: MakeBench) -> None:
    seen: list[object] = []

    def decide(batch: Batch) -> str:
        seen.extend(record.data for record in batch)
        return "skip"

    bench(payload(ROWS, judged=JUDGED), ruled(decode=read_json)).run(batch_task(app, decide))
    assert seen == [None, None]


def test_arguments_of_its_signature_follow_the_batch(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(ROWS, judged=JUDGED))
    table.run(batch_task(app, lambda batch, word, other="": word + other), "st", other="op")
    assert table.ledger.outcome.decided == decided("stop", "stop")


# --- what it may answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("dead_letter", ("dead_letter", "dead_letter")),
        ("skip", ("skip", "skip")),
        ("stop", ("stop", "stop")),
        (["skip", "stop"], ("skip", "stop")),
        (("dead_letter", "skip"), ("dead_letter", "skip")),
        ({13: "skip", 11: "dead_letter"}, ("dead_letter", "skip")),
    ],
)
def test_its_answer_is_reported_with_the_outcome_it_was_asked_about(
    app: Celery, bench: MakeBench, answer: Any, expected: tuple[str, str]
) -> None:
    outcome = asked(app, bench(payload(ROWS, judged=JUDGED)), answer)
    assert outcome == Outcome("partial", 15, JUDGED.failure, REJECTED, 2.0, decided(*expected))


def test_an_answer_replaces_one_that_failed_before(app: Celery, bench: MakeBench) -> None:
    before = Outcome("failed", 10, Failure(10), decided=(Decided(10, "dead_letter"),), hook_error="KeyError: x")
    outcome = asked(app, bench(payload(rows(1), judged=before)), "skip")
    assert (outcome.decided, outcome.hook_error) == ((Decided(10, "skip"),), "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "it returned None"),
        (True, "it returned True"),
        (b"skip", "it returned b'skip'"),
        (b"..", "it returned b'..'"),
        ("retry", "it returned 'retry' for a record"),
        ("", "it returned '' for a record"),
        ([], "it returned 0 words for 2 records"),
        (["skip"], "it returned 1 words for 2 records"),
        (["skip"] * 3, "it returned 3 words for 2 records"),
        (["skip", "Stop"], "it returned 'Stop' for a record"),
        (["skip", None], "it returned None for a record"),
        (["skip", ["skip"]], "it returned ['skip'] for a record"),
        ({11: "skip"}, "it returned words for 1 offsets, not for exactly those of its records"),
        ({11: "skip", 13: "skip", 14: "skip"}, "it returned words for 3 offsets"),
        ({0: "skip", 1: "skip"}, "it returned words for 2 offsets"),
        ({11: "skip", 13: "drop"}, "it returned 'drop' for a record"),
        (iter(["skip", "skip"]), "it returned <list_iterator"),
    ],
)
def test_any_other_answer_dead_letters_every_record_and_says_why(
    app: Celery, bench: MakeBench, answer: Any, why: str
) -> None:
    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(NoDecision, match="Remedy: return"):
        asked(app, table, answer)
    outcome = table.ledger.outcome
    assert outcome.decided == decided("dead_letter", "dead_letter")
    assert outcome.hook_error.startswith(f"NoDecision: {why}")
    assert (outcome.rejected, outcome.failure, outcome.next_offset) == (REJECTED, JUDGED.failure, 15)


# --- when it fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (KeyError("amount"), KeyError, "KeyError: 'amount'"),
        (SoftTimeLimitExceeded(), SoftTimeLimitExceeded, "SoftTimeLimitExceeded: SoftTimeLimitExceeded()"),
        (Ignore(), LinkFailed, "Ignore: "),
        (Reject("no", requeue=True), LinkFailed, "Reject: "),
        (MemoryError(), LinkFailed, "MemoryError: "),
    ],
)
def test_what_it_raises_dead_letters_every_record_and_is_shown(
    app: Celery, bench: MakeBench, error: Exception, raised: type[Exception], text: str
) -> None:
    def decide(batch: Batch) -> None:
        raise error

    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(raised):
        table.run(batch_task(app, decide))
    assert table.ledger.outcome.decided == decided("dead_letter", "dead_letter")
    assert table.ledger.outcome.hook_error.startswith(text)


@pytest.mark.parametrize("throw", [True, False])
def test_a_retry_of_it_is_an_exception_like_any_other(app: Celery, bench: MakeBench, throw: bool) -> None:
    def decide(self: Any, batch: Batch) -> None:
        raise self.retry(countdown=5, throw=throw)

    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(LinkFailed, match="the task asked for a retry in 5 s"):
        table.run(batch_task(app, decide, bind=True))
    outcome = table.ledger.outcome
    assert outcome.decided == decided("dead_letter", "dead_letter")
    assert (outcome.hook_error, outcome.delay) == ("RetryAsked: the task asked for a retry in 5 s", 2.0)


def test_a_retry_because_of_an_exception_names_the_exception(app: Celery, bench: MakeBench) -> None:
    def decide(self: Any, batch: Batch) -> None:
        raise self.retry(exc=ConnectionError("locked"))

    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(ConnectionError, match="locked"):
        table.run(batch_task(app, decide, bind=True))
    assert table.ledger.outcome.hook_error == "ConnectionError: locked"


def test_it_cannot_reject_what_has_failed_already(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(ValueError, match="the records of this batch have failed already"):
        table.run(batch_task(app, lambda batch: batch.fail(batch[0], "again")))
    assert table.ledger.outcome.decided == decided("dead_letter", "dead_letter")


def test_what_it_raised_keeps_its_own_cause(app: Celery, bench: MakeBench) -> None:
    def decide(batch: Batch) -> None:
        raise ValueError("no word") from KeyError("word")

    with pytest.raises(ValueError, match="no word") as caught:
        bench(payload(ROWS, judged=JUDGED)).run(batch_task(app, decide))
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_record_task_decides_nothing(app: Celery, bench: MakeBench) -> None:
    seen: list[Any] = []
    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(NoDecision, match="parse is no BatchTask"):
        table.run(record_task(app, seen.append))
    assert not seen
    assert table.ledger.outcome.decided == decided("dead_letter", "dead_letter")


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
def test_the_end_of_its_process_is_not_swallowed(app: Celery, bench: MakeBench, error: BaseException) -> None:
    def decide(batch: Batch) -> None:
        raise error

    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(type(error)):
        table.run(batch_task(app, decide))
    assert not table.ledger.outcomes


def test_a_superseded_hook_ends_without_a_trace(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(ROWS, judged=JUDGED))
    table.ledger.accepts = False
    with pytest.raises(ClaimRefused):
        asked(app, table, "skip")


def test_what_it_says_of_its_failure_is_of_bounded_size(app: Celery, bench: MakeBench) -> None:
    def decide(batch: Batch) -> None:
        raise ValueError("x" * 100_000)

    table = bench(payload(ROWS, judged=JUDGED))
    with pytest.raises(ValueError, match="xxx"):
        table.run(batch_task(app, decide))
    assert len(table.ledger.outcome.hook_error) == len("ValueError: ") + 1000


def test_words_of_a_class_of_its_own_can_be_stored(app: Celery, bench: MakeBench) -> None:
    class Word(str):
        """Of an enumeration, or of a template engine."""

    outcome = asked(app, bench(payload(ROWS, judged=JUDGED)), [Word("skip"), Word("stop")])
    assert decode_outcome(encode_outcome(outcome)).decided == decided("skip", "stop")


def test_it_is_tested_as_any_other_task(app: Celery) -> None:
    def decide(batch: Batch) -> list[str]:
        return ["skip" if each.disposition == "undecodable" else "stop" for each in batch.failures]

    record = Record("numbers", 0, 5)
    batch = Batch.of([record], failures=[Failed(record, "undecodable")])
    assert batch_task(app, decide).run(batch) == ["skip"]
