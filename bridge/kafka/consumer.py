"""The group's consumer: partitions come and go by callbacks, records come from exactly the offset asked for.

Rules: one thread calls everything here; callbacks run inside `fetch`, never poll, and what goes wrong in them comes
out of `fetch`. A partition is silent from its assignment until `start`. After FetchInterrupted: `seek_back`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from bridge.errors import LanebridgeError
from bridge.kafka.commits import Answer, Answered, CommitBook, CommitEntry
from bridge.kafka.errors import (
    BrokerError,
    ErrorFilter,
    FatalKafkaError,
    code_of,
    error_of,
    explain,
    fatal,
    refused_option,
    unreadable_headers,
)
from bridge.kafka.fetching import Fetch, rows_of, runs_of, set_events_apart
from bridge.kafka.profile import ConsumerSettings, consumer_profile
from bridge.records import OFFSET, TopicPartition

__all__ = ["Callbacks", "Consumer", "Fetch", "FetchInterrupted"]

logger = logging.getLogger(__name__)
_client_logger = logging.getLogger("bridge.kafka.client")

#: seconds for which a seek is tried again before the partition is taken and given anew
_SEEK_PATIENCE_S = 0.2


class FetchInterrupted(LanebridgeError):
    """A fetch was interrupted: records that the client had counted as delivered are lost to us. Call `seek_back` with
    the next expected offset of every partition; the cause is `__cause__`."""


class Callbacks(Protocol):
    """Who hears of partitions and commits. All run inside `fetch` (or `commit`'s next `fetch`), in its thread."""

    def on_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """The group gave us these; they are silent until `start`."""

    def on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """The group takes these; `commit` may be called once more, now."""

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """The group has taken these; nothing may be committed."""

    def on_commit(self, answers: Mapping[TopicPartition, Answered]) -> None:
        """The broker's answers: serial, offset, answer, error text."""


class Consumer:
    """A member of the group. Raises BadKafkaOption for options that the client refuses."""

    def __init__(
        self, settings: ConsumerSettings, callbacks: Callbacks, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._clock = clock
        self._filter = ErrorFilter(settings)
        self._commits = CommitBook()
        self._refused_commits: list[dict[TopicPartition, Answered]] = []
        self._only_topic = ""
        self._assigned: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}  # started partitions: the offset that comes next
        self._paused: set[TopicPartition] = set()
        self._unsettled: dict[TopicPartition, float] = {}  # seeks to be tried again, and until when
        self._problems: list[BrokerError] = []
        self._fatal: FatalKafkaError | None = None
        self._callback_error: BaseException | None = None
        self._in_callback = False
        self._closing = False
        self._polled_at = clock()
        self._poll_timeout = 0.0
        self._client = self._connect()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics; a name that begins with ^ is a regular expression."""
        self._polled_at = self._clock()
        self._only_topic = topics[0] if len(topics) == 1 and not topics[0].startswith("^") else ""
        self._client.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    # --- records -----------------------------------------------------------------------------------------------------

    def fetch(self, max_records: int, timeout: float) -> Fetch:
        """Up to `max_records` records; waits `timeout` seconds for the first, never for more.

        Raises FetchInterrupted when an exception (of a signal handler, of a callback) came out of the client: call
        `seek_back`. Raises FatalKafkaError when the client works no more.
        """
        if self._in_callback:
            raise RuntimeError("fetch was called in a callback: the client would end the process")
        try:
            self._deliver_refused_commits()
            self._settle()
            messages = self._take(max_records, timeout)
            self._raise_callback_error()
            fetch, ahead = self._sort(messages)
            self._next.update(ahead)
        except FatalKafkaError:
            raise
        except BaseException as error:  # whatever it is, the client has counted records as delivered
            self._callback_error = None
            raise FetchInterrupted(f"{type(error).__name__}: {error}") from error
        return fetch

    def hear(self) -> None:
        """Kafka has answered somebody else in this process."""
        self._filter.hear()

    def poll_only(self, timeout: float = 0.0) -> Fetch:
        """Serve callbacks while no records are wanted. May bring one record all the same."""
        return self.fetch(1, timeout)

    def start(self, tp: TopicPartition, offset: int) -> None:
        """Deliver records of the partition from `offset` on, not paused. Without effect when it is not ours."""
        if tp in self._assigned:
            self._paused.discard(tp)
            self._deliver_from(tp, offset)

    def pause(self, tp: TopicPartition) -> None:
        """Deliver no records of the partition until `resume` or `start`; what was fetched ahead is fetched again."""
        if tp in self._next:
            self._paused.add(tp)
            self._client.pause([_place(tp)])

    def resume(self, tp: TopicPartition) -> None:
        """Deliver records of the partition again, from where it was paused."""
        if tp in self._next:
            self._paused.discard(tp)
            self._deliver_from(tp, self._next[tp])

    def seek_back(self, positions: Mapping[TopicPartition, int]) -> None:
        """Deliver again from these offsets; paused partitions stay paused."""
        for tp in list(self._next):
            self._deliver_from(tp, positions.get(tp, self._next[tp]))

    # --- commits, end ------------------------------------------------------------------------------------------------

    def commit(self, entries: Mapping[TopicPartition, CommitEntry]) -> None:
        """Submit one asynchronous commit. Every partition in it gets an answer by `on_commit`."""
        if not entries:
            return
        offsets = self._commits.submit(entries)
        try:
            self._client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._refused_commits.append(self._commits.answer(error_of(error), offsets))

    def close(self, timeout: float = 5.0) -> bool:
        """Leave the group. False when the client was not done within `timeout` seconds (a frozen broker); it goes on
        in the background then. No callback is called any more. A member with group.instance.id does not leave."""
        self._closing = True
        closer = threading.Thread(target=self._client.close, name="kafka-close", daemon=True)
        closer.start()
        closer.join(timeout)
        return not closer.is_alive()

    # --- inside fetch ------------------------------------------------------------------------------------------------

    def _connect(self) -> ck.Consumer:
        profile: dict[str, Any] = {
            **consumer_profile(self._settings),
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
        }
        try:
            return ck.Consumer(profile, logger=_client_logger)
        except KafkaException as error:
            raise refused_option(error, self._settings) from error

    def _take(self, max_records: int, timeout: float) -> list[Message]:
        """Poll for the first, then take what is there: `consume` alone would wait for all of them."""
        self._poll_timeout = timeout
        first = self._client.poll(timeout)
        messages: list[Message] = []
        if first is not None:
            messages = self._client.consume(max_records - 1, 0) if max_records > 1 else []
            messages.insert(0, first)
        self._polled_at = self._clock()
        return messages

    def _sort(self, messages: list[Message]) -> tuple[Fetch, dict[TopicPartition, int]]:
        """What the messages bring, and the offsets that come after it."""
        fetch, ahead = Fetch(), dict[TopicPartition, int]()
        records, events = set_events_apart(messages)
        if records:
            self._sort_records(records, fetch, ahead)
        for event in events:
            self._sort_event(event, fetch)
        if fetch.runs or fetch.ends:
            self._filter.hear()
        self._report_problems(fetch)
        return fetch, ahead

    def _sort_records(self, records: list[Message], fetch: Fetch, ahead: dict[TopicPartition, int]) -> None:
        for place, run in runs_of(records, self._only_topic):
            tp = TopicPartition._make(place)
            if tp in self._next:  # else it was revoked in the meantime, or is not started
                rows, unreadable = rows_of(run)
                ahead[tp] = rows[-1][OFFSET] + 1
                fetch.runs.append((tp, rows))
                if unreadable:
                    self._problems.append(unreadable_headers(tp, unreadable))

    def _sort_event(self, event: Message, fetch: Fetch) -> None:
        error, tp = event.error(), _partition_of(event)
        code = error.code() if error is not None else KafkaError.NO_ERROR
        if code == KafkaError._PARTITION_EOF:
            if tp in self._next:
                fetch.ends.append((tp, event.offset() or 0))
        elif code == KafkaError._AUTO_OFFSET_RESET:
            if tp in self._next:
                fetch.missing.append(tp)
        elif error is not None and not _is_empty_pattern(event):
            self._on_error(error)

    def _report_problems(self, fetch: Fetch) -> None:
        if self._fatal is not None:
            raise self._fatal
        problems, self._problems = self._problems, []
        for problem in problems:
            if (report := self._filter.admit(problem)) is not None:
                fetch.errors.append(report)
        if (news := self._filter.recovered()) is not None:
            fetch.errors.append(news)

    def _deliver_refused_commits(self) -> None:
        while self._refused_commits:
            self._callbacks.on_commit(self._refused_commits.pop(0))

    def _raise_callback_error(self) -> None:
        if self._callback_error is not None:
            raise self._callback_error

    # --- positions ---------------------------------------------------------------------------------------------------

    def _deliver_from(self, tp: TopicPartition, offset: int) -> None:
        self._next[tp] = offset
        if not self._seek(tp):
            self._unsettled.setdefault(tp, self._clock() + _SEEK_PATIENCE_S)

    def _seek(self, tp: TopicPartition) -> bool:
        """Set the client's position. The seek comes after the resume: it wakes the client's fetcher, which otherwise
        may sleep for a second, but only if the offset is above 0, hence the first of two seeks."""
        offset = self._next[tp]
        if tp not in self._paused:
            self._client.resume([_place(tp)])
        try:
            if offset == 0:
                self._client.seek(_place(tp, 1))
            self._client.seek(_place(tp, offset))
        except KafkaException as error:  # the client has not begun with the partition, or an offset was missing
            logger.debug("%s: seek to %d: %s", tp, offset, error, extra={"action": "seek_refused"})
            return False
        self._unsettled.pop(tp, None)
        return True

    def _settle(self) -> None:
        """Try seeks again that came before the client had begun with the partition, but not for ever."""
        for tp, deadline in list(self._unsettled.items()):
            if not self._seek(tp) and self._clock() > deadline:
                self._assign_anew(tp)

    def _assign_anew(self, tp: TopicPartition) -> None:
        """The way that also works after an offset was missing: the client has stopped this partition for good. Not
        the usual way: in the middle of a rebalance the client could take the calls for answers to the rebalance."""
        logger.debug("%s is taken and given anew at %d", tp, self._next[tp], extra={"action": "assign_anew"})
        self._client.incremental_unassign([_place(tp)])
        self._client.incremental_assign([_place(tp, self._next[tp])])
        if tp not in self._paused:
            self._client.resume([_place(tp)])
        self._unsettled.pop(tp, None)

    # --- the client's callbacks --------------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Nothing is raised into the client: it comes out of `fetch`."""
        self._in_callback = True
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again by `fetch`
            self._callback_error = self._callback_error or error
        finally:
            self._in_callback = False

    def _on_assign(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        tps = _partitions_of(partitions)
        # an offset of our own: with the committed one the client would ask, and may wait for the answer for ever
        places = [_place(tp, 0) for tp in tps]
        with self._guarded():
            client.incremental_assign(places)
            if places:
                client.pause(places)
        with self._guarded():
            self._assigned.update(tps)
            if not self._closing:
                self._callbacks.on_assign(tps)

    def _on_revoke(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        # librdkafka#5604: what was lost while the process stood still may be called revoked
        absence = self._clock() - self._polled_at - self._poll_timeout
        lost = absence > self._settings.absence_limit
        self._take_away(client, partitions, self._callbacks.on_lost if lost else self._callbacks.on_revoke)

    def _on_lost(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._take_away(client, partitions, self._callbacks.on_lost)

    def _take_away(
        self,
        client: ck.Consumer,
        partitions: list[ck.TopicPartition],
        notify: Callable[[Sequence[TopicPartition]], None],
    ) -> None:
        tps = _partitions_of(partitions)
        known = [_place(tp) for tp in tps if tp in self._assigned]
        with self._guarded():
            for tp in tps:
                self._forget(tp)
            if not self._closing:
                notify(tps)
        with self._guarded():
            if known:
                client.incremental_unassign(known)

    def _forget(self, tp: TopicPartition) -> None:
        self._assigned.discard(tp)
        self._next.pop(tp, None)
        self._paused.discard(tp)
        self._unsettled.pop(tp, None)

    def _on_commit(self, error: KafkaError | None, partitions: list[ck.TopicPartition]) -> None:
        with self._guarded():
            answers = self._commits.answer(error, partitions)
            if any(answer is Answer.OK for _, _, answer, _ in answers.values()):
                self._filter.hear()
            if answers and not self._closing:
                self._callbacks.on_commit(answers)

    def _on_error(self, error: KafkaError) -> None:
        with self._guarded():
            if error.fatal() or error.code() == KafkaError._FATAL:
                self._fatal = self._fatal or fatal(error, self._settings)
            else:
                self._problems.append(explain(error, self._settings))


def _place(tp: TopicPartition, offset: int = ck.OFFSET_INVALID) -> ck.TopicPartition:
    return ck.TopicPartition(tp.topic, tp.partition, offset)


def _partitions_of(partitions: Sequence[ck.TopicPartition]) -> list[TopicPartition]:
    return [TopicPartition(item.topic, item.partition) for item in partitions]


def _partition_of(event: Message) -> TopicPartition:
    return TopicPartition(event.topic() or "", -1 if (number := event.partition()) is None else number)


def _is_empty_pattern(event: Message) -> bool:
    """Whether a regular expression matches no topic (yet): no error."""
    error = event.error()
    unknown = error is not None and code_of(error) == "UNKNOWN_TOPIC_OR_PART"
    return unknown and (event.topic() or "").startswith("^")
