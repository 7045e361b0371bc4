"""`RecordTask` and `BatchTask`: the Celery task classes whose tasks can be links of a pipeline.

Rules: called with a link's handle by a worker, a task runs the link; called in any other way it is plain user code.
What a link needs of Celery's settings is set here, on the class, so that the app's other tasks keep theirs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from celery import Task
from celery.utils.time import maybe_make_aware

from bridge.entries import Rejection
from bridge.ledger.data import encode_data
from bridge.ledger.handle import Handle, is_handle
from bridge.ledger.payload import Payload
from bridge.records import Batch, Decode, Record
from bridge.workers import hook
from bridge.workers.backend import ErrorBackend
from bridge.workers.batches import batch_of, rejected_by, run_batch
from bridge.workers.decoding import decode_batch, decoded, decoder_of
from bridge.workers.errors import ClaimRefused, NoDecision, RetryAsked, ends_the_process
from bridge.workers.installed import connection_of
from bridge.workers.link import Delivery, report
from bridge.workers.outcomes import Place, Stop, index_in_batch, stop_at
from bridge.workers.rules import TopicRules
from bridge.workers.unknown import report_unknown_topic

#: values that need no look before they are carried to the next link
_PORTABLE = frozenset((type(None), bool, int, float, str, bytes))


@dataclass(frozen=True, slots=True)
class Work:
    """What the task's own code did: where it stopped (None: it did not), which records were rejected, and what it
    returned for each of the others that it got past (None: the records keep their data)."""

    stop: Stop | None = None
    rejected: Sequence[Rejection] = ()
    data: Sequence[object] | None = None


#: the task's own code, ready to be called with a record or batch
Call = Callable[[Any], Any]


class LaneTask(Task):
    """What RecordTask and BatchTask have in common."""

    Request = "bridge.workers.request:LinkRequest"
    Strategy = "bridge.workers.arrival:strategy"
    ignore_result = True
    store_errors_even_if_ignored = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
    autoretry_for: tuple[type[BaseException], ...] = ()
    default_retry_delay = None

    @property
    def backend(self) -> ErrorBackend:
        """Where Celery stores this task's errors: the ledger, whatever the app's result backend is."""
        return connection_of(self.app).backend

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._runs_a_link(args):
            return super().__call__(*args, **kwargs)
        self._run_link(Handle.from_message(args[0]), args[1:], kwargs)
        return None

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """In a link: fail, with `countdown` or `eta` as the wait before the lane's next attempt.

        Nothing is published; how often is decided by the pipeline's `retry=Retry(...)`. Elsewhere: Celery's own.
        """
        if not self._runs_a_link(self.request.args or ()):
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        asked = RetryAsked(exc or sys.exc_info()[1], self._delay(eta, countdown))
        if throw:
            raise asked
        return asked

    def work(self, payload: Payload, place: Place, call: Call, delivery: Delivery, decode: Decode | None) -> Work:
        """Run the task's own code over the link's records, each with what `decode` makes of it."""
        raise NotImplementedError

    def decide(self, batch: Batch, call: Call) -> object:
        """What becomes of records that are given up, as the task's own code says. Raises NoDecision."""
        raise NoDecision(f"{self.name} is no BatchTask")

    def _runs_a_link(self, args: Sequence[Any]) -> bool:
        request = self.request
        return bool(args) and is_handle(args[0]) and not request.called_directly and not request.is_eager

    def _run_link(self, handle: Handle, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        connection = connection_of(self.app)
        rules = connection.settings.rules_of(handle.tp.topic)
        if rules is None:
            raise ClaimRefused(report_unknown_topic(connection.ledger, handle))
        delivery = Delivery(connection, handle)
        try:
            goes_on = self._deliver(delivery, rules, _bind(self.run, args, kwargs))
        finally:
            self.request.has_reported = delivery.has_reported
        if not goes_on:
            self.request.chain = None

    def _deliver(self, delivery: Delivery, rules: TopicRules, call: Call) -> bool:
        """Claim, run and report; whether the chain goes on."""
        payload, handle = delivery.claim(), delivery.handle
        header = payload.header
        if header.judged is not None:
            hook.ask(delivery, payload, header.judged, lambda batch: self.decide(batch, call))
            return True
        place = Place(handle.link, self.name, handle.link >= header.links, header.batches[-1].last, rules.retry)
        work = self.work(payload, place, call, delivery, decoder_of(rules, payload))
        return report(delivery, payload, place, work.stop, work.rejected, work.data)

    def _delay(self, eta: datetime | None, countdown: float | None) -> float | None:
        if countdown is not None:
            seconds = float(countdown)
            if not math.isfinite(seconds):
                raise ValueError(f"self.retry(countdown={countdown!r}): name a number of seconds")
            return max(seconds, 0.0)
        if eta is not None:
            wait = maybe_make_aware(eta, self.app.timezone) - self.app.now()
            return max(float(wait.total_seconds()), 0.0)
        return self.default_retry_delay


class RecordTask(LaneTask):
    """Base of a task that is called once per record, in offset order: `@app.task(base=RecordTask)`.

    What it returns is the record's `data` for the next link. An exception fails that record: the ones before it go on,
    it and the ones after it are tried again. A record that the pipeline's `decode` cannot read is left out.
    """

    def work(self, payload: Payload, place: Place, call: Call, delivery: Delivery, decode: Decode | None) -> Work:
        """One call after the other, until one fails."""
        data: list[object] = []
        rejected: list[Rejection] = []
        try:
            for record in _records(payload, place, decode, rejected):
                delivery.check()
                value = call(record)
                if not place.is_last and type(value) not in _PORTABLE:
                    encode_data((value,), (record.offset,))
                data.append(value)
        except ClaimRefused:
            raise
        except BaseException as error:
            if ends_the_process(error):
                raise
            at = len(data) + len(rejected)
            if at < len(payload):
                index = index_in_batch(payload, at)
                return Work(stop_at(error, payload.offsets[at], place, named=True, index=index), rejected, data)
        return Work(None, rejected, data)


class BatchTask(LaneTask):
    """Base of a task that is called once per batch: `@app.task(base=BatchTask)`. What it returns is ignored.

    An exception fails the batch; `RecordFailed(record, reason)` says from which record on; `batch.fail(record, reason)`
    rejects one record for good. Records that the pipeline's `decode` cannot read are not in the batch.

    A pipeline's `on_failed` task is a BatchTask too. It gets the records that are given up, as Kafka delivered them
    (without `data`), with the reasons in `batch.failures`, and returns "dead_letter", "skip" or "stop" for each: one
    word for all, a sequence of words in the batch's order, or a mapping of offsets to words that names each record. If
    it raises (`self.retry()` too) or returns anything else, all of them go to the dead letter topic.
    """

    def decide(self, batch: Batch, call: Call) -> object:
        """What the task returns for the batch."""
        return call(batch)

    def work(self, payload: Payload, place: Place, call: Call, delivery: Delivery, decode: Decode | None) -> Work:
        """The batches one after the other, until one fails."""
        rejected: list[Rejection] = []
        for header, records in payload.batches():
            given, halt = (records, None) if decode is None else decode_batch(records, decode, place, rejected)
            stop = None
            if given:
                batch = batch_of(payload, header, given)
                delivery.check()
                stop = run_batch(call, batch, place, records)
                rejected += rejected_by(batch, place, records, len(rejected))
            if stop is not None or halt is not None:
                return Work(stop or halt, rejected)
        return Work(rejected=rejected)


def _records(payload: Payload, place: Place, decode: Decode | None, rejected: list[Rejection]) -> Iterable[Record]:
    if decode is None:
        return payload.records()
    return chain.from_iterable(decoded(records, decode, place, rejected) for _, records in payload.batches())


def _bind(run: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    if not args and not kwargs:
        return run
    return lambda subject: run(subject, *args, **kwargs)
