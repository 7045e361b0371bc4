"""A link in one process, with a ledger in memory."""

import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from bridge.entries import FORMAT, BatchHeader, Failure
from bridge.ledger.compression import Compression, split_format
from bridge.ledger.formats import LedgerError, UnknownFormat
from bridge.ledger.handle import Handle
from bridge.ledger.payload import Carried
from bridge.records import Batch, Record
from bridge.workers.errors import ClaimRefused, LedgerSilent, LinkFailed, RecordFailed
from bridge.workers.identity import worker_id
from bridge.workers.tasks import BatchTask, LaneTask, RecordTask
from tests.workers.fakes import SETTINGS, TP, Bench, FakeLedger, away, payload
from tests.workers.standin import rows

MakeBench = Callable[..., Bench]


def record_task(app: Celery, code: Callable[..., Any], **options: Any) -> Any:
    return app.task(base=RecordTask, shared=False, name="parse", **options)(named(code))


def batch_task(app: Celery, code: Callable[..., Any], **options: Any) -> Any:
    return app.task(base=BatchTask, shared=False, name="store", **options)(named(code))


def named(code: Callable[..., Any]) -> Callable[..., Any]:
    """Celery takes functions with a name only."""

    def function(subject: Any) -> Any:
        return code(subject)

    if inspect.isbuiltin(code):
        return function
    if code.__name__ == "<lambda>":
        code.__name__ = "code"
    return code


def parse(record: Record) -> int:
    return int(record.value or b"")


# --- RecordTask ------------------------------------------------------------------------------------------------------


def test_each_record_is_handed_over_once_in_order_with_what_the_bridge_knows(app: Celery, bench: MakeBench) -> None:
    seen: list[Record] = []
    table = bench(payload([(10, 5, b"k", None, (("h", b"1"), ("h", None))), (12, -1, None, b"", ())], attempt=3))
    table.run(record_task(app, seen.append))
    assert seen == [
        Record("numbers", 0, 10, 5, b"k", None, (("h", b"1"), ("h", None)), None, 3),
        Record("numbers", 0, 12, -1, None, b"", (), None, 3),
    ]
    assert table.ledger.outcome.kind == "ok"


def test_what_a_record_task_returns_is_the_records_data_in_the_next_link(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2, 3), links=2))
    table.run(record_task(app, lambda record: Decimal(record.offset)))
    assert [record.data for record in table.ledger.passed_on.records()] == [Decimal(10), Decimal(11), Decimal(12)]
    assert table.chain == [{"task": "next"}]


def test_arguments_of_the_signature_follow_the_record(app: Celery, bench: MakeBench) -> None:
    seen: list[Any] = []
    bench(payload(rows(1))).run(
        record_task(app, lambda record, a, b=0: seen.append((record.offset, a, b))), "first", b="second"
    )
    assert seen == [(10, "first", "second")]


def test_an_exception_lets_the_records_before_it_go_on(app: Celery, bench: MakeBench) -> None:
    seen: list[int] = []

    def careful(record: Record) -> int:
        seen.append(record.offset)
        return int(record.value or b"")

    table = bench(payload(rows(1, 2, b"x", 4), links=2))
    table.run(record_task(app, careful))
    passed_on = table.ledger.passed_on
    assert seen == [10, 11, 12]
    assert [(record.offset, record.data) for record in passed_on.records()] == [(10, 1), (11, 2)]
    failure = passed_on.header.carried.failure
    assert failure is not None
    assert (failure.offset, failure.kind, failure.named, failure.link, failure.task) == (12, "failed", True, 1, "parse")
    assert (failure.exception, failure.retryable) == ("ValueError", True)
    assert "invalid literal" in failure.message
    assert "in careful" in failure.traceback
    assert table.chain == [{"task": "next"}]


def test_an_exception_at_the_first_record_ends_the_chain_and_is_raised(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(b"x", 2), links=2))
    with pytest.raises(ValueError, match="invalid literal"):
        table.run(record_task(app, parse))
    assert (table.ledger.outcome.kind, table.ledger.outcome.next_offset) == ("failed", 10)


def test_an_exception_in_the_last_link_reports_what_is_finished(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, b"x", 3)))
    with pytest.raises(ValueError, match="invalid literal"):
        table.run(record_task(app, parse))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset) == ("partial", 11)
    assert outcome.failure is not None
    assert outcome.failure.named


def test_data_that_cannot_travel_fails_its_record_for_good(app: Celery, bench: MakeBench) -> None:
    seen: list[int] = []

    def make(record: Record) -> object:
        seen.append(record.offset)
        return {"a": [object()]} if record.offset == 11 else record.offset

    table = bench(payload(rows(1, 2, 3), links=2))
    table.run(record_task(app, make))
    failure = table.ledger.passed_on.header.carried.failure
    assert seen == [10, 11]
    assert failure is not None
    assert (failure.offset, failure.named, failure.retryable) == (11, True, False)
    assert "parse: record 11: object cannot be carried" in failure.message


def test_a_number_that_is_too_long_to_travel_fails_its_record_too(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2, 3), links=2))
    table.run(record_task(app, lambda record: 1 << 80 if record.offset == 12 else record.offset))
    passed_on = table.ledger.passed_on
    assert [record.data for record in passed_on.records()] == [10, 11]
    assert passed_on.header.carried.failure is not None
    assert passed_on.header.carried.failure.offset == 12


def test_data_that_cannot_travel_is_shown_as_a_failure_that_celery_can_send(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1), links=2))
    with pytest.raises(LinkFailed, match="record 10: UnserialisableData: parse: record 10: object cannot"):
        table.run(record_task(app, lambda record: object()))


def test_what_the_last_link_returns_is_nobodys_business(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2)))
    table.run(record_task(app, lambda record: object()))
    assert table.ledger.outcome.kind == "ok"


def test_a_soft_time_limit_is_a_timeout_and_no_record_is_at_fault(app: Celery, bench: MakeBench) -> None:
    def slow(record: Record) -> None:
        if record.offset == 11:
            raise SoftTimeLimitExceeded

    table = bench(payload(rows(1, 2, 3)))
    with pytest.raises(SoftTimeLimitExceeded):
        table.run(record_task(app, slow))
    failure = table.ledger.outcome.failure
    assert failure is not None
    assert (failure.kind, failure.offset, failure.named) == ("timeout", 11, False)


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
def test_the_end_of_the_process_is_not_swallowed(app: Celery, bench: MakeBench, error: BaseException) -> None:
    def end(record: Record) -> None:
        raise error

    table = bench(payload(rows(1)))
    with pytest.raises(type(error)):
        table.run(record_task(app, end))
    assert not table.ledger.outcomes


@pytest.mark.parametrize("error", [Ignore(), Reject("no", requeue=True), MemoryError()])
def test_exceptions_that_celery_acts_on_are_plain_failures(app: Celery, bench: MakeBench, error: Exception) -> None:
    def odd(record: Record) -> None:
        raise error

    table = bench(payload(rows(1)))
    with pytest.raises(LinkFailed):
        table.run(record_task(app, odd))
    assert table.ledger.outcome.kind == "failed"


def test_an_exception_that_cannot_be_printed_is_a_failure_like_any_other(app: Celery, bench: MakeBench) -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def nasty(record: Record) -> None:
        raise Nasty

    table = bench(payload(rows(1)))
    with pytest.raises(Nasty):
        table.run(record_task(app, nasty))
    assert table.ledger.outcome.failure is not None
    assert table.ledger.outcome.failure.exception == "Nasty"


def test_message_and_traceback_are_of_bounded_size(app: Celery, bench: MakeBench) -> None:
    def deep(record: Record, depth: int = 200) -> None:
        if depth:
            raise ValueError("x" * 100_000)

    table = bench(payload(rows(1)))
    with pytest.raises(ValueError, match="xxx"):
        table.run(record_task(app, deep))
    failure = table.ledger.outcome.failure
    assert failure is not None
    assert len(failure.message) == 1000
    assert len(failure.traceback) == 4000


# --- BatchTask -------------------------------------------------------------------------------------------------------


def test_a_batch_task_gets_the_batch_and_its_return_value_is_ignored(app: Celery, bench: MakeBench) -> None:
    seen: list[Batch] = []

    def store(batch: Batch) -> object:
        seen.append(batch)
        return object()

    table = bench(payload(rows(1, 2), links=2, data=["a", "b"], lane=3, attempt=2))
    table.run(batch_task(app, store))
    (batch,) = seen
    assert (batch.topic, batch.partition, batch.lane, batch.id) == ("numbers", 0, 3, "g.chain")
    assert (batch.first_offset, batch.last_offset, batch.attempt) == (10, 11, 2)
    assert (batch.trigger, batch.token) == ("size", 7)
    assert [record.data for record in batch] == ["a", "b"]
    assert table.ledger.advanced == [None]


def test_an_exception_in_a_batch_task_fails_the_batch_and_names_no_record(app: Celery, bench: MakeBench) -> None:
    def explode(batch: Batch) -> None:
        batch.fail(batch[1], "odd")
        raise RuntimeError("boom")

    table = bench(payload(rows(1, 2)))
    with pytest.raises(RuntimeError, match="boom"):
        table.run(batch_task(app, explode))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset, outcome.rejected) == ("failed", 10, ())
    assert outcome.failure is not None
    assert not outcome.failure.named


def test_the_only_record_of_a_failed_batch_is_at_fault(app: Celery, bench: MakeBench) -> None:
    def explode(batch: Batch) -> None:
        raise RuntimeError("boom")

    table = bench(payload(rows(1)))
    with pytest.raises(RuntimeError, match="boom"):
        table.run(batch_task(app, explode))
    assert table.ledger.outcome.failure is not None
    assert table.ledger.outcome.failure.named


def test_record_failed_lets_the_records_before_it_succeed(app: Celery, bench: MakeBench) -> None:
    def picky(batch: Batch) -> None:
        batch.fail(batch[0], "odd")
        raise RecordFailed(batch[2], "bad one")

    table = bench(payload(rows(1, 2, 3, 4)))
    with pytest.raises(LinkFailed, match="record 12: RecordFailed: bad one"):
        table.run(batch_task(app, picky))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset, outcome.watermark) == ("partial", 12, 10)
    assert outcome.failure is not None
    assert (outcome.failure.named, outcome.failure.message) == (True, "bad one")


def test_record_failed_in_the_middle_of_a_chain_passes_the_records_before_it_on(app: Celery, bench: MakeBench) -> None:
    def picky(batch: Batch) -> None:
        raise RecordFailed(batch[2], "bad one")

    table = bench(payload(rows(1, 2, 3, 4), links=2, data=["a", "b", "c", "d"]))
    table.run(batch_task(app, picky))
    assert [record.data for record in table.ledger.passed_on.records()] == ["a", "b"]


def test_record_failed_with_a_record_of_another_batch_fails_the_whole_batch(app: Celery, bench: MakeBench) -> None:
    def confused(batch: Batch) -> None:
        raise RecordFailed(Record("numbers", 0, 99), "not mine")

    table = bench(payload(rows(1, 2)))
    with pytest.raises(LinkFailed):
        table.run(batch_task(app, confused))
    failure = table.ledger.outcome.failure
    assert failure is not None
    assert (failure.offset, failure.named) == (10, False)


def test_rejected_records_are_removed_for_later_links_and_carried(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2, 3), links=2, data=["a", "b", "c"]))
    table.run(batch_task(app, lambda batch: batch.fail(batch[1], "x" * 5000)))
    passed_on = table.ledger.passed_on
    assert [(record.offset, record.data) for record in passed_on.records()] == [(10, "a"), (12, "c")]
    (rejected,) = passed_on.header.carried.rejected
    assert (rejected.offset, rejected.link, rejected.task, len(rejected.reason)) == (11, 1, "store", 1000)


def test_when_every_record_is_rejected_the_chain_ends_without_an_error(app: Celery, bench: MakeBench) -> None:
    def reject_all(batch: Batch) -> None:
        for record in batch:
            batch.fail(record, "no")

    table = bench(payload(rows(1, 2), links=2))
    table.run(batch_task(app, reject_all))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset) == ("partial", 12)
    assert table.chain is None


def test_a_failure_that_an_earlier_link_met_is_reported_by_the_last(app: Celery, bench: MakeBench) -> None:
    carried = Carried(Failure(12, named=True, task="parse"), (), 5.0)
    table = bench(payload(rows(1, 2), links=2, last=14, carried=carried))
    table.run(batch_task(app, lambda batch: None), link=2)
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset, outcome.delay) == ("partial", 12, 5.0)
    assert outcome.failure == Failure(12, named=True, task="parse")


def test_batches_of_a_train_run_one_after_another_until_one_fails(app: Celery, bench: MakeBench) -> None:
    seen: list[list[int]] = []

    def store(batch: Batch) -> None:
        seen.append([record.offset for record in batch])
        if batch.first_offset == 12:
            raise RuntimeError("boom")

    batches = (BatchHeader(10, 11, 2, "size"), BatchHeader(12, 13, 2, "size"), BatchHeader(14, 14, 1, "flush"))
    table = bench(payload(rows(1, 2, 3, 4, 5), batches=batches))
    with pytest.raises(RuntimeError, match="boom"):
        table.run(batch_task(app, store))
    assert seen == [[10, 11], [12, 13]]
    assert (table.ledger.outcome.kind, table.ledger.outcome.next_offset) == ("partial", 12)


def test_an_outcome_says_how_long_the_slowest_link_ran(app: Celery, bench: MakeBench) -> None:
    table, nap = bench(payload(rows(1, 2))), batch_task(app, lambda batch: time.sleep(0.02))
    begun = time.monotonic()
    table.run(nap)
    assert 0.02 <= table.ledger.outcome.took_s <= time.monotonic() - begun + 1e-6

    table = bench(payload(rows(1, 2)))
    table.ledger.slowest_s = 1000.0
    table.run(nap)
    assert table.ledger.outcome.took_s == 1000.0


def test_a_link_that_is_not_the_last_says_how_long_it_ran(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2), links=2))
    begun = time.monotonic()
    table.run(record_task(app, lambda record: time.sleep(0.01)))
    assert 0.02 <= table.ledger.took[0] <= time.monotonic() - begun + 1e-6


# --- self.retry ------------------------------------------------------------------------------------------------------


def retrying(**options: Any) -> Callable[[Any, Batch], None]:
    def code(self: Any, batch: Batch) -> None:
        try:
            raise ConnectionError("locked")
        except ConnectionError:
            self.retry(**options)

    return code


@pytest.mark.parametrize(
    ("options", "delay"),
    [
        ({"countdown": 7}, 7.0),
        ({"countdown": 0}, 0.0),
        ({}, None),
        ({"countdown": 3, "max_retries": 0}, 3.0),
    ],
)
def test_a_retry_is_a_failure_with_the_wait_that_was_asked_for(
    app: Celery, bench: MakeBench, options: dict[str, Any], delay: float | None
) -> None:
    table = bench(payload(rows(1, 2)))
    with pytest.raises(ConnectionError, match="locked"):
        table.run(batch_task(app, retrying(**options), bind=True))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.delay) == ("failed", delay)
    assert outcome.failure is not None
    assert (outcome.failure.exception, outcome.failure.message) == ("ConnectionError", "locked")


def test_a_retry_at_a_time_is_a_wait_until_then(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1)))
    with pytest.raises(ConnectionError):
        table.run(batch_task(app, retrying(eta=datetime.now(UTC) + timedelta(seconds=60)), bind=True))
    assert table.ledger.outcome.delay == pytest.approx(60.0, abs=5.0)


def test_the_tasks_own_default_delay_counts(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1)))
    with pytest.raises(ConnectionError):
        table.run(batch_task(app, retrying(), bind=True, default_retry_delay=9))
    assert table.ledger.outcome.delay == 9


def test_a_retry_without_an_exception_says_so(app: Celery, bench: MakeBench) -> None:
    def code(self: Any, batch: Batch) -> None:
        raise self.retry(countdown=2, throw=False)

    table = bench(payload(rows(1)))
    with pytest.raises(LinkFailed, match="the task asked for a retry in 2 s"):
        table.run(batch_task(app, code, bind=True))


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_a_refused_claim_runs_no_user_code(app: Celery, bench: MakeBench) -> None:
    seen: list[Any] = []
    table = bench(payload(rows(1)))
    table.ledger.refusals = ["claimed"]
    with pytest.raises(Ignore):
        table.run(batch_task(app, seen.append))
    assert not seen
    assert not table.ledger.outcomes


def test_a_claim_is_asked_again_with_the_same_nonce_while_redis_is_away(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1)))
    table.ledger.troubles = [away()]
    table.run(batch_task(app, lambda batch: None))
    assert len(table.ledger.claims) == 1
    assert table.ledger.claims[0][0] == worker_id()
    assert table.ledger.outcome.kind == "ok"


def test_a_claim_is_given_up_when_redis_stays_away(app: Celery, bench: MakeBench) -> None:
    seen: list[Any] = []
    table = bench(payload(rows(1)))
    table.ledger.troubles = [away() for _ in range(100)]
    with pytest.raises(Ignore, match="did not answer"):
        table.run(batch_task(app, seen.append))
    assert not seen


def test_finished_work_is_reported_again_and_again_while_redis_is_away(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1)))

    def store(batch: Batch) -> None:
        table.ledger.troubles = [away(), away(), SoftTimeLimitExceeded(), away()]

    table.run(batch_task(app, store))
    assert table.ledger.outcome.kind == "ok"


def test_finished_work_is_given_up_after_the_link_timeout(app: Celery, bench: MakeBench) -> None:
    settings = replace(SETTINGS, link_timeout=0.3)
    table = bench(payload(rows(1)), settings)

    def store(batch: Batch) -> None:
        table.ledger.troubles = [away() for _ in range(1000)]

    with pytest.raises(LedgerSilent, match=r"for 0\.3 s"):
        table.run(batch_task(app, store))


@pytest.mark.parametrize("links", [1, 2])
def test_work_of_a_superseded_chain_is_thrown_away(app: Celery, bench: MakeBench, links: int) -> None:
    table = bench(payload(rows(1), links=links))
    table.ledger.accepts = False
    with pytest.raises(ClaimRefused):
        table.run(batch_task(app, lambda batch: None))


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_spoilt_payload_is_refused_before_the_task_could_make_light_of_it(
    app: Celery, bench: MakeBench, compression: Compression
) -> None:
    seen: list[Batch] = []
    table = bench(payload(rows(1, 2, 3), compression=compression)[:-1])
    with pytest.raises(LedgerError, match=r"cannot be read: .* Remedy: its records are sent again"):
        table.run(batch_task(app, seen.append))
    assert not seen
    assert (table.ledger.outcomes, table.ledger.advanced) == ([], [])


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_link_passes_records_on_as_it_got_them(app: Celery, bench: MakeBench, compression: Compression) -> None:
    table = bench(payload(rows(1, 2, 3), links=2, compression=compression))
    table.run(record_task(app, lambda record: record.offset))
    assert table.ledger.passed_on.data == [10, 11, 12]
    assert split_format((table.ledger.advanced[0] or b"")[2]) == (compression, FORMAT)


def test_a_handle_of_another_format_is_refused_before_anything_is_claimed(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1)))
    task = batch_task(app, lambda batch: None)
    handle = {**Handle.of("g", TP, 0, "c", 1).to_message(), "lb": FORMAT + 1}
    with table.request(task, (handle,), {}), pytest.raises(UnknownFormat, match="Remedy"):
        task(handle)
    assert not table.ledger.claims


class Lost:
    """A ledger whose worker is declared dead after the first record."""

    def __init__(self, ledger: FakeLedger, pulse: Any) -> None:
        self.ledger = ledger
        self.pulse = pulse
        self.seen: list[int] = []

    def __call__(self, record: Record) -> None:
        self.seen.append(record.offset)
        self.pulse.lapse()


@pytest.mark.parametrize(("refusal", "expected"), [("not current", [10]), ("", [10, 11, 12])])
def test_a_worker_whose_heartbeat_was_gone_asks_before_the_next_record(
    app: Celery, bench: MakeBench, monkeypatch: pytest.MonkeyPatch, refusal: str, expected: list[int]
) -> None:
    from bridge.workers import identity

    table = bench(payload(rows(1, 2, 3)))
    work = Lost(table.ledger, identity.PULSE)
    table.ledger.refusals = ["", refusal]
    task = record_task(app, work.__call__)
    if refusal:
        with pytest.raises(ClaimRefused):
            table.run(task)
        assert not table.ledger.outcomes
    else:
        table.run(task)
        assert table.ledger.outcome.kind == "ok"
    assert work.seen == expected


def test_a_worker_that_slept_too_long_asks_before_the_next_record(app: Celery, bench: MakeBench) -> None:
    settings = replace(SETTINGS, worker_timeout=0.05)
    table = bench(payload(rows(1, 2, 3)), settings)
    table.ledger.refusals = ["", "claimed"]
    seen: list[int] = []

    def slow(record: Record) -> None:
        seen.append(record.offset)
        deadline = time.monotonic() + 0.1
        while time.monotonic() < deadline:
            pass

    with pytest.raises(ClaimRefused):
        table.run(record_task(app, slow))
    assert seen == [10]


def test_a_silent_ledger_is_no_reason_to_stop_between_records(app: Celery, bench: MakeBench) -> None:
    from bridge.workers import identity

    table = bench(payload(rows(1, 2, 3)))

    def code(record: Record) -> None:
        if record.offset == 10:
            identity.PULSE.lapse()
            table.ledger.troubles = [away()]

    table.run(record_task(app, code))
    assert table.ledger.outcome.kind == "ok"


def test_what_a_link_needs_of_celery_is_set_on_the_class() -> None:
    assert LaneTask.ignore_result
    assert LaneTask.store_errors_even_if_ignored
    assert not LaneTask.reject_on_worker_lost
