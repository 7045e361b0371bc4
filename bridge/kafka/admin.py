"""Questions to Kafka, off the loop: committed offsets, topic ids, ends of logs, topics; and whether it can be reached.

Rules: every answer is bounded in time and any thread may ask. The group's offsets are read by a consumer that never
subscribes: AdminClient.list_consumer_group_offsets ends the process when the coordinator moves (librdkafka#5040).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from bridge.kafka.errors import (
    KafkaLoginRefused,
    KafkaUnavailable,
    KafkaUnreachable,
    code_of,
    error_of,
    explain,
    refused_option,
)
from bridge.kafka.profile import ConsumerSettings, admin_profile, onlooker_profile
from bridge.records import TopicPartition
from bridge.settings.patterns import expand_names

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: seconds between two tries when the coordinator is starting or moving
_RETRY_S = 0.05
_COORDINATOR_MOVES = frozenset(
    {"NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "_WAIT_COORD"}
)
_LOGIN_CODES = frozenset(
    {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"}
)
_CONNECTION_CODES = frozenset({"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_SSL"})
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """What an assignment must know of its partition. `committed` is None when the group has no offset, `metadata` the
    committed text, `topic_id` "" from a broker without topic ids, `log_end` the high watermark."""

    committed: int | None
    metadata: str
    topic_id: str
    log_start: int
    log_end: int


class Admin:
    """Asks one cluster about one group. `timeout` (seconds) bounds each question. Raises BadKafkaOption when the client
    refuses the options."""

    def __init__(self, settings: ConsumerSettings, timeout: float = 3.0) -> None:
        self._settings = settings
        self._timeout = timeout
        self._last_errors: dict[str, KafkaError] = {}
        self._lock = threading.Lock()  # the onlooker takes one caller at a time, and lets others wait without a limit
        try:
            self._client = AdminClient({**admin_profile(settings), "error_cb": self._remember})  # type: ignore[dict-item]
            self._onlooker = ck.Consumer(onlooker_profile(settings))
        except KafkaException as error:
            raise refused_option(error, settings) from error

    def facts(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, KafkaFacts | KafkaUnavailable]:
        """The facts of several partitions in one round of requests; a partition whose answer is missing gets the
        error instead."""
        if not tps:
            return {}
        deadline = _Deadline(self._timeout)
        starts = self._ask_offsets(tps, _EARLIEST)
        ends = self._ask_offsets(tps, _LATEST)
        topics = self._ask_topics({tp.topic for tp in tps})
        try:
            committed = self._committed(tps, deadline)
        except KafkaUnavailable as error:
            return dict.fromkeys(tps, error)
        found: dict[TopicPartition, KafkaFacts | KafkaUnavailable] = {}
        for tp in tps:
            try:
                offset, metadata = committed[tp]
                start, end = self._await(starts[tp], deadline).offset, self._await(ends[tp], deadline).offset
                topic_id = _topic_id(self._await(topics[tp.topic], deadline))
                found[tp] = KafkaFacts(offset, metadata, topic_id, start, end)
            except KafkaUnavailable as error:
                found[tp] = error
        return found

    def committed(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The group's committed offsets, None where there is none. Raises KafkaUnavailable."""
        return {tp: offset for tp, (offset, _) in self._committed(tps, _Deadline(self._timeout)).items()}

    def ends(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The high watermarks. Raises KafkaUnavailable."""
        deadline = _Deadline(self._timeout)
        return {tp: self._await(answer, deadline).offset for tp, answer in self._ask_offsets(tps, _LATEST).items()}

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids that these topics have now; a topic without one, or whose id is not known in time, is left out."""
        deadline, ids = _Deadline(self._timeout), dict[str, str]()
        for name, answer in self._ask_topics(names).items():
            try:
                ids[name] = _topic_id(self._await(answer, deadline))
            except KafkaUnavailable as error:
                logger.debug("the id of topic %s is not known: %s", name, error, extra={"action": "topic_id"})
        return {name: topic_id for name, topic_id in ids.items() if topic_id}

    def missing_topics(self, names: Iterable[str]) -> list[str]:
        """Those of the names that do not exist; regular expressions (^...) never do, and are left out. Raises
        KafkaUnavailable."""
        existing = self._metadata().topics
        return sorted({name for name in names if not name.startswith("^") and name not in existing})

    def expand(self, topics: Iterable[str]) -> list[TopicPartition]:
        """All partitions of these topics, as they are now; a name that begins with ^ is a regular expression, a topic
        that does not exist has none. Raises KafkaUnavailable."""
        known = self._metadata().topics
        names = expand_names(topics, known, whole_name=self._settings.is_next_generation)
        return [TopicPartition(name, number) for name in names for number in sorted(known[name].partitions)]

    def check_broker(self, timeout: float | None = None) -> None:
        """Return as soon as a broker has answered. Raises KafkaLoginRefused at once when it refuses the login,
        KafkaUnreachable when none has answered within `timeout` seconds; both name option, value and remedy."""
        deadline = _Deadline(self._timeout if timeout is None else timeout)
        while True:
            try:
                self._metadata(min(1.0, deadline.left))
                return
            except KafkaLoginRefused:
                raise
            except KafkaUnavailable:
                if deadline.left <= 0:
                    raise
                time.sleep(_RETRY_S)

    def close(self) -> None:
        """Close the connections; bounded, also with the broker away."""
        with self._lock:
            self._onlooker.close()

    # --- one question each -------------------------------------------------------------------------------------------

    def _metadata(self, timeout: float | None = None) -> ClusterMetadata:
        try:
            found = self._client.list_topics(timeout=self._timeout if timeout is None else timeout)
        except KafkaException as error:
            raise self._unavailable(error_of(error)) from error
        self._client.poll(0)
        self._last_errors.clear()  # whatever it was, it is over
        return found

    def _ask_offsets(self, tps: Sequence[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, Future[Any]]:
        if not tps:
            return {}
        questions = {ck.TopicPartition(tp.topic, tp.partition): spec for tp in tps}
        answers = self._client.list_offsets(questions, request_timeout=self._timeout)
        return {TopicPartition(item.topic, item.partition): future for item, future in answers.items()}

    def _ask_topics(self, names: Iterable[str]) -> Mapping[str, Future[Any]]:
        wanted = ck.TopicCollection(sorted(names))
        answers = self._client.describe_topics(wanted, request_timeout=self._timeout)
        return cast("Mapping[str, Future[Any]]", answers)

    def _committed(
        self, tps: Sequence[TopicPartition], deadline: _Deadline
    ) -> dict[TopicPartition, tuple[int | None, str]]:
        if not tps:
            return {}
        answers = self._ask_committed([ck.TopicPartition(tp.topic, tp.partition) for tp in tps], deadline)
        for answer in answers:
            if answer.error is not None:
                raise self._unavailable(answer.error)
        return {
            TopicPartition(answer.topic, answer.partition): (
                answer.offset if answer.offset >= 0 else None,
                answer.metadata or "",
            )
            for answer in answers
        }

    def _ask_committed(self, places: list[ck.TopicPartition], deadline: _Deadline) -> list[ck.TopicPartition]:
        """The client says at once that the coordinator moves, and is to be asked again."""
        while True:
            if not self._lock.acquire(timeout=deadline.left):
                raise KafkaUnavailable("the group's coordinator does not answer: another question is still open")
            try:
                return self._onlooker.committed(places, timeout=deadline.left)
            except KafkaException as error:
                known = error_of(error)
                if code_of(known) not in _COORDINATOR_MOVES or deadline.left <= _RETRY_S:
                    raise self._unavailable(known) from error
            finally:
                self._lock.release()
            time.sleep(_RETRY_S)

    def _await(self, answer: Future[T], deadline: _Deadline) -> T:
        try:
            return answer.result(timeout=deadline.left)
        except KafkaException as error:
            raise self._unavailable(error_of(error)) from error
        except TimeoutError as error:
            raise self._unavailable(KafkaError(KafkaError._TIMED_OUT)) from error

    # --- errors ------------------------------------------------------------------------------------------------------

    def _remember(self, error: KafkaError) -> None:
        self._last_errors[code_of(error)] = error

    def _unavailable(self, error: KafkaError) -> KafkaUnavailable:
        """The error in our words. The client says why it could not connect in events of its own: they go first."""
        self._client.poll(0)
        for code, known in list(self._last_errors.items()):
            if code in _LOGIN_CODES:
                return KafkaLoginRefused(f"Kafka refuses the login: {explain(known, self._settings)}")
        if code_of(error) in _CONNECTION_CODES:
            reasons = [str(explain(known, self._settings)) for known in self._reasons()]
            return KafkaUnreachable(f"Kafka cannot be reached: {(reasons or [str(explain(error, self._settings))])[0]}")
        return KafkaUnavailable(f"Kafka cannot answer: {explain(error, self._settings)}")

    def _reasons(self) -> list[KafkaError]:
        return [known for code, known in list(self._last_errors.items()) if code != "_ALL_BROKERS_DOWN"]


def _topic_id(described: Any) -> str:
    """ "" from a broker without topic ids."""
    found = str(described.topic_id)
    return "" if found == _NO_TOPIC_ID else found


class _Deadline:
    """A point in time that several waits share."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self._at - self._clock())
