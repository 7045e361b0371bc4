"""How records get their data: in one process, with a ledger in memory."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from confluent_kafka.serialization import Deserializer, MessageField, SerializationContext, SerializationError

from bridge import Bridge
from bridge.entries import BatchHeader, Rejection
from bridge.records import Batch, Record, Retry, Row
from bridge.workers.errors import ClaimRefused
from bridge.workers.installed import settings_of
from bridge.workers.outcomes import TRACEBACKS
from bridge.workers.rules import read_json
from tests.workers.fakes import SETTINGS, Bench, away, payload, ruled
from tests.workers.standin import rows
from tests.workers.test_link import batch_task, record_task

MakeBench = Callable[..., Bench]

JSON = ruled(decode=read_json)
BAD = b"{"


def seen_by(app: Celery, table: Bench, kind: str, **options: Any) -> list[Any]:
    """Run a task of a kind over the bench's records: the (offset, data) of all that it got."""
    seen: list[Any] = []

    def of_a_record(record: Record) -> Any:
        seen.append((record.offset, record.data))
        return record.data

    def of_a_batch(batch: Batch) -> None:
        seen.append([(record.offset, record.data) for record in batch])

    task = record_task(app, of_a_record, **options) if kind == "record" else batch_task(app, of_a_batch, **options)
    table.run(task)
    return [pair for each in seen for pair in each] if kind == "batch" else seen


def rejected_in(table: Bench) -> dict[int, Rejection]:
    """What was rejected, by offset, wherever it was reported."""
    ledger = table.ledger
    found = ledger.outcome.rejected if ledger.outcomes else ledger.passed_on.header.carried.rejected
    return {each.offset: each for each in found}


KINDS = pytest.mark.parametrize("kind", ["record", "batch"])


# --- what data is -----------------------------------------------------------------------------------------------------


@KINDS
def test_without_a_decoder_records_have_no_data(app: Celery, bench: MakeBench, kind: str) -> None:
    assert seen_by(app, bench(payload(rows(1, 2))), kind) == [(10, None), (11, None)]


@KINDS
def test_json_is_read_into_data(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload(rows(b'{"a": [1.5, null]}', b'"\xc3\xa4"', b"7")), JSON)
    assert seen_by(app, table, kind) == [(10, {"a": [1.5, None]}), (11, "ä"), (12, 7)]
    assert table.ledger.outcome.kind == "ok"


@KINDS
def test_a_record_without_a_value_is_none_and_not_undecodable(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload([(10, -1, b"k", None, ()), (11, -1, b"k", b"1", ())]), JSON)
    assert seen_by(app, table, kind) == [(10, None), (11, 1)]
    assert table.ledger.outcome.kind == "ok"


@KINDS
def test_a_function_sees_the_whole_record(app: Celery, bench: MakeBench, kind: str) -> None:
    row: Row = (10, 5, b"k", b"v", (("h", b"1"),))
    table = bench(payload([row], attempt=3), ruled(decode=lambda record: record))
    assert seen_by(app, table, kind) == [
        (10, Record("numbers", 0, 10, 5, b"k", b"v", (("h", b"1"),), None, 3)),
    ]


@KINDS
@pytest.mark.parametrize("value", [b"", b"{", b"nope", b"\xff\xfe\xfd", b"1 2", b"[" * 200_000])
def test_what_is_no_json_is_undecodable(app: Celery, bench: MakeBench, kind: str, value: bytes) -> None:
    table = bench(payload(rows(1, value)), JSON)
    assert seen_by(app, table, kind) == [(10, 1)]
    assert rejected_in(table)[11].disposition == "undecodable"


# --- undecodable records ----------------------------------------------------------------------------------------------

PLACES = pytest.mark.parametrize(
    ("bad", "links"), [({10}, 1), ({11}, 1), ({13}, 1), ({10, 13}, 1), ({11, 12}, 2), ({10, 11}, 2), ({13}, 2)]
)


@KINDS
@PLACES
def test_an_undecodable_record_is_rejected_and_the_others_go_on(
    app: Celery, bench: MakeBench, kind: str, bad: set[int], links: int
) -> None:
    values = [BAD if offset in bad else b"%d" % offset for offset in range(10, 14)]
    table = bench(payload(rows(*values), links=links), JSON)
    good = [(offset, offset) for offset in range(10, 14) if offset not in bad]
    assert seen_by(app, table, kind) == good
    rejected = rejected_in(table)
    assert set(rejected) == bad
    for offset, each in rejected.items():
        assert (each.disposition, each.exception, each.link) == ("undecodable", "JSONDecodeError", 1)
        assert (each.task, each.index) == ("parse" if kind == "record" else "store", offset - 10)
        assert each.reason.startswith("Expecting property name")
        assert "in raw_decode" in each.traceback
        assert each.at_ms > 0
    if links == 1:
        assert (table.ledger.outcome.kind, table.ledger.outcome.next_offset) == ("partial", 14)
        assert table.ledger.outcome.failure is None
    else:
        kept = [(each.offset, each.data) for each in table.ledger.passed_on.records()]
        assert kept == (good if kind == "record" else [(offset, None) for offset, _ in good])


@KINDS
@pytest.mark.parametrize("links", [1, 2])
def test_when_nothing_can_be_decoded_no_task_is_called_and_the_chain_ends(
    app: Celery, bench: MakeBench, kind: str, links: int
) -> None:
    table = bench(payload(rows(BAD, BAD), links=links), JSON)
    assert seen_by(app, table, kind) == []
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset, outcome.watermark, outcome.at_stake) == ("partial", 12, 10, (10, 11))
    assert table.chain is None


def test_a_failing_record_behind_an_undecodable_one_is_where_the_chain_stops(app: Celery, bench: MakeBench) -> None:
    def fail_at_three(record: Record) -> int:
        if record.data == 3:
            raise ValueError("three")
        return int(record.data) * 10

    table = bench(payload(rows(BAD, 1, BAD, 3, BAD), links=2), JSON)
    table.run(record_task(app, fail_at_three))
    passed_on = table.ledger.passed_on
    assert [(record.offset, record.data) for record in passed_on.records()] == [(11, 10)]
    carried = passed_on.header.carried
    assert [each.offset for each in carried.rejected] == [10, 12]
    assert carried.failure is not None
    assert (carried.failure.offset, carried.failure.index, carried.failure.named) == (13, 3, True)


def test_data_that_cannot_travel_behind_an_undecodable_record_names_its_own_record(
    app: Celery, bench: MakeBench
) -> None:
    table = bench(payload(rows(BAD, 1, 2), links=2), JSON)
    table.run(record_task(app, lambda record: 1 << 80 if record.data == 2 else record.data))
    carried = table.ledger.passed_on.header.carried
    assert carried.failure is not None
    assert (carried.failure.offset, carried.failure.index, carried.failure.retryable) == (12, 2, False)


def test_a_batch_that_fails_keeps_what_is_undecodable_below_its_first_record(app: Celery, bench: MakeBench) -> None:
    def explode(batch: Batch) -> None:
        raise RuntimeError("boom")

    table = bench(payload(rows(BAD, 1, BAD, 3)), JSON)
    with pytest.raises(RuntimeError, match="boom"):
        table.run(batch_task(app, explode))
    outcome = table.ledger.outcome
    assert (outcome.kind, outcome.next_offset, [each.offset for each in outcome.rejected]) == ("partial", 11, [10])
    assert outcome.failure is not None
    assert (outcome.failure.named, outcome.failure.index) == (False, 1)


def test_the_only_decodable_record_of_a_failed_batch_is_at_fault(app: Celery, bench: MakeBench) -> None:
    def explode(batch: Batch) -> None:
        raise RuntimeError("boom")

    table = bench(payload(rows(BAD, 1, BAD)), JSON)
    with pytest.raises(RuntimeError, match="boom"):
        table.run(batch_task(app, explode))
    failure = table.ledger.outcome.failure
    assert failure is not None
    assert (failure.offset, failure.named, failure.index) == (11, True, 1)


def test_a_record_that_the_task_rejects_keeps_its_place_in_the_batch_as_it_came(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(BAD, 1, 2)), JSON)
    table.run(batch_task(app, lambda batch: batch.fail(batch[1], KeyError("two"))))
    rejected = rejected_in(table)
    assert (rejected[10].index, rejected[10].disposition) == (0, "undecodable")
    assert (rejected[12].index, rejected[12].disposition, rejected[12].exception) == (2, "rejected", "KeyError")


def test_batches_of_a_train_are_decoded_one_by_one(app: Celery, bench: MakeBench) -> None:
    batches = (BatchHeader(10, 11, 2, "size"), BatchHeader(12, 13, 2, "size"), BatchHeader(14, 15, 2, "flush"))
    values = (1, BAD, BAD, BAD, 5, BAD)
    for kind in ("record", "batch"):
        table = bench(payload(rows(*values), batches=batches), JSON)
        assert seen_by(app, table, kind) == [(10, 1), (14, 5)]
        found = rejected_in(table)
        assert {offset: each.index for offset, each in found.items()} == {11: 1, 12: 0, 13: 1, 15: 1}


# --- who decodes in a chain -------------------------------------------------------------------------------------------


def test_a_link_behind_a_batch_task_decodes_again(app: Celery, bench: MakeBench) -> None:
    table = bench(payload(rows(1, 2), links=2), JSON)
    assert seen_by(app, table, "batch") == [(10, 1), (11, 2)]
    assert table.ledger.advanced == [None], "nothing of it travels"
    again = bench(payload(rows(1, 2), links=2), JSON)
    assert seen_by(app, again, "record") == [(10, 1), (11, 2)]


@KINDS
def test_what_a_record_task_returned_is_not_decoded_over(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload(rows(BAD, 2), links=2, data=[None, "two"]), JSON)
    assert seen_by(app, table, kind) == [(10, None), (11, "two")]
    assert not rejected_in_any(table)


def rejected_in_any(table: Bench) -> bool:
    return any(outcome.rejected for outcome in table.ledger.outcomes)


# --- exceptions that are no fault of a record -------------------------------------------------------------------------

REGISTRY = Retry(retry_on=(ConnectionError,))


def away_at(*offsets: int, error: BaseException | None = None) -> Callable[[Record], Any]:
    def decode(record: Record) -> Any:
        if record.offset in offsets:
            raise error or ConnectionRefusedError("the registry is away")
        return read_json(record)

    return decode


def test_a_decoder_s_exception_that_retry_on_names_is_a_failure_at_that_record(app: Celery, bench: MakeBench) -> None:
    for kind in ("record", "batch"):
        table = bench(payload(rows(BAD, 1, 2, 3)), ruled(REGISTRY, away_at(12)))
        with pytest.raises(ConnectionError, match="the registry is away"):
            seen_by(app, table, kind)
        outcome = table.ledger.outcome
        assert (outcome.kind, outcome.next_offset, [each.offset for each in outcome.rejected]) == ("partial", 12, [10])
        failure = outcome.failure
        assert failure is not None
        assert (failure.kind, failure.named, failure.retryable, failure.index) == ("failed", True, True, 2)
        assert failure.exception == "ConnectionRefusedError"


def test_a_batch_task_gets_the_records_before_one_that_must_wait(app: Celery, bench: MakeBench) -> None:
    seen: list[int] = []
    table = bench(payload(rows(1, 2, 3), links=2), ruled(REGISTRY, away_at(12)))
    table.run(batch_task(app, lambda batch: seen.extend(record.offset for record in batch)))
    assert seen == [10, 11]
    assert [record.offset for record in table.ledger.passed_on.records()] == [10, 11]
    assert table.ledger.passed_on.header.carried.failure is not None


def test_a_batch_task_that_fails_before_a_record_that_must_wait_is_what_counts(app: Celery, bench: MakeBench) -> None:
    def explode(batch: Batch) -> None:
        raise ConnectionError("the database")

    table = bench(payload(rows(1, 2, 3)), ruled(REGISTRY, away_at(12)))
    with pytest.raises(ConnectionError, match="the database"):
        table.run(batch_task(app, explode))
    assert (table.ledger.outcome.kind, table.ledger.outcome.next_offset) == ("failed", 10)


@KINDS
def test_an_exception_in_both_lists_is_given_up_on(app: Celery, bench: MakeBench, kind: str) -> None:
    retry = Retry(retry_on=(ConnectionError,), give_up_on=(ConnectionRefusedError,))
    table = bench(payload(rows(1, 2)), ruled(retry, away_at(10)))
    assert seen_by(app, table, kind) == [(11, 2)]
    assert rejected_in(table)[10].exception == "ConnectionRefusedError"


@KINDS
@pytest.mark.parametrize("retry", [Retry(), Retry(retry_on=(KeyError,))])
def test_the_same_exception_is_undecodable_when_retry_on_does_not_name_it(
    app: Celery, bench: MakeBench, kind: str, retry: Retry
) -> None:
    table = bench(payload(rows(1, 2)), ruled(retry, away_at(10)))
    assert seen_by(app, table, kind) == [(11, 2)]
    assert rejected_in(table)[10].disposition == "undecodable"


@KINDS
def test_a_soft_time_limit_while_decoding_is_a_timeout(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload(rows(1, 2, 3)), ruled(decode=away_at(11, error=SoftTimeLimitExceeded())))
    with pytest.raises(SoftTimeLimitExceeded):
        seen_by(app, table, kind)
    outcome = table.ledger.outcome
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.named, outcome.rejected) == ("timeout", False, ())
    assert outcome.next_offset == (11 if kind == "record" else 10)


def test_when_the_time_is_up_a_batch_task_is_not_begun(app: Celery, bench: MakeBench) -> None:
    seen: list[Batch] = []
    table = bench(payload(rows(1, 2, 3)), ruled(decode=away_at(11, error=SoftTimeLimitExceeded())))
    with pytest.raises(SoftTimeLimitExceeded):
        table.run(batch_task(app, seen.append))
    assert not seen


@KINDS
def test_too_little_memory_to_decode_does_not_give_a_record_up(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload(rows(1, 2, 3)), ruled(decode=away_at(11, error=MemoryError())))
    with pytest.raises(Exception, match="record 11: MemoryError"):
        seen_by(app, table, kind)
    outcome = table.ledger.outcome
    assert (outcome.next_offset, outcome.rejected) == (11, ())


@KINDS
def test_the_end_of_the_process_while_decoding_is_not_swallowed(app: Celery, bench: MakeBench, kind: str) -> None:
    table = bench(payload(rows(1)), ruled(decode=away_at(10, error=SystemExit(3))))
    with pytest.raises(SystemExit):
        seen_by(app, table, kind)
    assert not table.ledger.outcomes


# --- bounds -----------------------------------------------------------------------------------------------------------


@KINDS
def test_only_the_first_rejected_records_carry_a_traceback(app: Celery, bench: MakeBench, kind: str) -> None:
    def deep(record: Record, depth: int = 50) -> Any:
        if depth:
            return deep(record, depth - 1)
        raise ValueError("x" * 5000)

    table = bench(payload(rows(*range(1000))), ruled(decode=deep))
    assert seen_by(app, table, kind) == []
    rejected = table.ledger.outcome.rejected
    assert len(rejected) == 1000
    assert [bool(each.traceback) for each in rejected] == [True] * TRACEBACKS + [False] * (1000 - TRACEBACKS)
    assert all(len(each.traceback) <= 2000 for each in rejected)
    assert {each.exception for each in rejected} == {"ValueError"}
    assert sum(len(each.reason) for each in rejected) <= 256 * 1024


# --- decoders of Confluent --------------------------------------------------------------------------------------------


class Registered(Deserializer):
    """Called like the deserializers for Avro, JSON Schema and Protobuf: the value behind five bytes, a zero first."""

    def __init__(self) -> None:
        self.contexts: list[SerializationContext] = []

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> Any:
        if value is None:
            return None
        if value[:1] != b"\x00":
            raise SerializationError("message does not start with the magic byte")
        assert ctx is not None
        self.contexts.append(ctx)
        return json.loads(value[5:])


@KINDS
def test_a_deserializer_of_confluent_is_a_decoder_in_one_line(app: Celery, bench: MakeBench, kind: str) -> None:
    deserializer = Registered()

    def decode(record: Record) -> Any:
        return deserializer(record.value, SerializationContext(record.topic, MessageField.VALUE))

    table = bench(
        payload([(10, 0, None, b"\x00\x00\x00\x00\x07[1]", ()), (11, 0, None, b"[2]", ()), (12, 0, None, None, ())]),
        ruled(decode=decode),
    )
    assert seen_by(app, table, kind) == [(10, [1]), (12, None)]
    (rejected,) = table.ledger.outcome.rejected
    assert (rejected.offset, rejected.exception) == (11, "SerializationError")
    assert [(context.topic, context.field) for context in deserializer.contexts] == [("numbers", MessageField.VALUE)]


def test_the_example_of_the_page_decodes_with_a_deserializer_that_is_called_like_confluents(
    app: Celery, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()
    (example,) = re.findall(r"```python\n(from confluent_kafka.*?)```", page, re.DOTALL)
    clients: list[Any] = []
    for name, names in (
        ("confluent_kafka.schema_registry", {"SchemaRegistryClient": clients.append}),
        ("confluent_kafka.schema_registry.avro", {"AvroDeserializer": lambda client: Registered()}),
    ):
        module = ModuleType(name)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
    with_bridge = Celery("page", broker="redis://nowhere:1/0", set_as_current=False)
    bridge = Bridge(with_bridge, group_id="page")
    store = batch_task(with_bridge, lambda batch: None)
    exec(example, {"bridge": bridge, "store": store, "Retry": Retry})
    assert clients == [{"url": "http://localhost:8081"}]

    rules = settings_of(with_bridge).rules_of("orders")
    assert rules is not None
    settings = ruled(rules.retry, rules.decode)
    table = bench(payload([(10, 0, None, b"\x00\x00\x00\x00\x07[1]", ()), (11, 0, None, b"[2]", ())]), settings)
    assert seen_by(app, table, "batch") == [(10, [1])]
    assert [each.exception for each in table.ledger.outcome.rejected] == ["SerializationError"]
    assert rules.retry.tries_again(ConnectionError())


# --- a worker that does not know --------------------------------------------------------------------------------------


def test_a_link_of_a_topic_that_no_pipeline_here_carries_is_not_run_and_told(app: Celery, bench: MakeBench) -> None:
    seen: list[Any] = []
    table = bench(payload(rows(1)), replace(SETTINGS, rules_of=lambda topic: None))
    with pytest.raises(ClaimRefused, match="carries numbers"):
        table.run(record_task(app, seen.append))
    assert not seen
    assert not table.ledger.claims
    (notice,) = table.ledger.reported
    assert (notice.link_id, notice.status, notice.exception) == ("g.chain-1", "FAILURE", "NotRegistered")
    assert "carries numbers. Remedy: declare it where the workers import it" in notice.message


def test_when_that_cannot_be_told_the_link_is_not_run_either(
    app: Celery, bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    table = bench(payload(rows(1)), replace(SETTINGS, rules_of=lambda topic: None))
    table.ledger.troubles = [away()]
    with pytest.raises(ClaimRefused):
        table.run(record_task(app, lambda record: None))
    assert not table.ledger.claims
    assert "could not be told" in caplog.text
