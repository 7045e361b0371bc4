"""The loop: one thread owns the consumer and the core, and turns events into effects.

Each turn: take the mail, take records, look at the clock, carry out what the core wants. Nothing in a turn waits for
Redis or the Celery broker. Callbacks of the consumer run inside `fetch`, in this thread; they never poll. After any
exception out of `fetch` every partition is set back to the core's next expected offset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.batching import ROW_OVERHEAD_BYTES, rows_bytes
from bridge.core.bridge import Core
from bridge.kafka.commits import Answered
from bridge.kafka.consumer import Consumer, Fetch, FetchInterrupted
from bridge.records import Row, TopicPartition
from bridge.runtime.mail import Mailbox

logger = logging.getLogger(__name__)

#: records that one turn takes at the most
TURN_RECORDS = 2000
#: seconds that a turn waits at the most: for mail or for a commit's answer, which records or another commit stand
#: behind; for mail when nothing has happened for a while; for records, when nothing else can come that matters
BUSY_WAIT, CALM_WAIT, IDLE_WAIT = 0.002, 0.01, 0.05
#: how much of the estimated size of a record is left after a turn with smaller ones
SIZE_MEMORY = 0.9
#: seconds for which the loop counts as busy after anything has happened
BUSY_FOR = 0.2
#: fetches in a row that may fail before the bridge gives up
INTERRUPTIONS_LIMIT = 10


class GaveUp(Exception):
    """The bridge cannot go on; the text says why and what to do."""


#: sees each event with what the core wants after it
Observe = Callable[[ev.Event, Sequence[ef.Effect], float], None]


def _nobody(event: ev.Event, effects: Sequence[ef.Effect], now: float) -> None:
    """Nobody observes."""


class TurnSize:
    """How many records a turn may take: no more than one partition may hold, they may all be of one."""

    def __init__(self) -> None:
        #: what a record takes in memory, in bytes, about
        self._record_bytes = 0.0

    def learn(self, runs: Iterable[Sequence[Row]]) -> None:
        """These have come in one turn."""
        for rows in runs:
            self._record_bytes = max(self._record_bytes, float(rows_bytes(rows[-1:])))
        self._record_bytes *= SIZE_MEMORY

    def records(self, share_bytes: int) -> int:
        """How many fit in `share_bytes`, one at the least."""
        return max(1, min(TURN_RECORDS, int(share_bytes / (self._record_bytes + ROW_OVERHEAD_BYTES))))


class Loop:
    """The owner thread's state. `publisher`, `asker`, `sweeper`, `revoker` and `letters` take what is not the
    consumer's. Partitions of topics that are `left_out` stay silent, whoever the group gives them to."""

    def __init__(
        self,
        core: Core,
        mailbox: Mailbox,
        *,
        publisher: Callable[[ef.Effect], None],
        asker: Callable[[ef.AskKafka], None],
        sweeper: Callable[[ef.ReadLanes | ef.AnswerRequest | ef.KeepPauses], None],
        revoker: Callable[[ef.TerminateLinks], None],
        letters: Callable[[ef.WriteDeadLetters], None],
        left_out: Callable[[str], bool],
        observe: Observe = _nobody,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = core
        self.mailbox = mailbox
        self.clock = clock
        self.last_turn = clock()
        self.assigned_once = False
        #: what the client says about Kafka ("" all is well)
        self.kafka_trouble = ""
        self._routes: dict[type, Callable[..., None]] = {
            ef.AskKafka: asker,
            **dict.fromkeys((ef.ReadLanes, ef.AnswerRequest, ef.KeepPauses), sweeper),
            ef.TerminateLinks: revoker,
            ef.WriteDeadLetters: letters,
            **self._own_routes(),
        }
        self._publish = publisher
        self._left_out = left_out
        self._observe = observe
        self._holding = self._draining = False
        self._interruptions = 0
        self._busy_until = 0.0
        #: the last fetch brought as many records as it may: there are more
        self._has_more = False
        self._size = TurnSize()
        self._effects: list[ef.Effect] = []
        self._gave_up: str | None = None
        self._callback_error: BaseException | None = None

    def _own_routes(self) -> dict[type, Callable[..., None]]:
        return {
            ef.StartFetching: lambda e: self._consumer.start(e.tp, e.offset),
            ef.PauseFetching: lambda e: self._consumer.pause(e.tp),
            ef.ResumeFetching: lambda e: self._consumer.resume(e.tp),
            ef.HoldFetching: self._set_hold,
            ef.Commit: lambda e: self._consumer.commit(e.entries),
            ef.Report: self._report,
            ef.GiveUp: self._give_up,
        }

    def attach(self, consumer: Consumer) -> None:
        """The consumer whose callbacks are this loop's `on_...` methods."""
        self._consumer = consumer

    # --- one turn ----------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One turn. Raises GaveUp when the core or a callback says that it is over."""
        self._take_mail()
        self._take_records()
        self._look_at_clock()
        self.last_turn = self.clock()

    def _take_mail(self) -> None:
        for event in self.mailbox.take_all(self._wait_for_mail()):
            if isinstance(event, ev.TopicsSeen) and event.ids:  # without any, Kafka may not have answered at all
                self._consumer.hear()
            self.handle(event)
        self._carry_out()

    def _take_records(self) -> None:
        try:
            fetch = self._fetch()
        except FetchInterrupted as error:
            self._seek_back(error)
            return
        self._interruptions = 0
        self._size.learn(rows for _, rows in fetch.runs)
        for tp, rows in fetch.runs:
            self.handle(ev.Fetched(tp, rows))
        for tp, offset in fetch.ends:
            self.handle(ev.EndOfLog(tp, offset))
        for tp in fetch.missing:
            self.handle(ev.OffsetMissing(tp))
        for problem in fetch.errors:
            if problem.is_trouble:
                self.kafka_trouble = "" if problem.recovered else str(problem)
            logger.log(logging.INFO if problem.recovered else logging.WARNING, "%s", problem, extra={"action": "kafka"})
        self._carry_out()
        self._has_more = sum(len(rows) for _, rows in fetch.runs) >= self._records_per_turn
        if self._callback_error is not None:
            raise self._callback_error

    def _seek_back(self, error: FetchInterrupted) -> None:
        self._interruptions += 1
        if self._interruptions >= INTERRUPTIONS_LIMIT:
            text = f"records cannot be fetched, {self._interruptions} times in a row: {error}"
            raise GaveUp(f"{text}. Nothing is lost; start the bridge again, and report this if it comes back.")
        logger.warning("fetch interrupted (%s); reading on from the last record", error, extra={"action": "seek"})
        self._consumer.seek_back(self._positions())

    def drain(self) -> None:
        """A turn that takes no records."""
        self._draining = True
        self.turn()

    def _fetch(self) -> Fetch:
        """Records wake this wait, mail does not: while mail is awaited, that is waited for, in the next turn."""
        if self._holding or self._draining:
            return self._consumer.poll_only()
        if self.core.awaits_answers:
            return self._consumer.fetch(self._records_per_turn, 0.0)
        longest = BUSY_WAIT if self.core.awaits_commit else IDLE_WAIT  # a commit's answer does not end the wait
        wait = min(longest, max(0.0, self.core.wake_at - self.clock()))
        return self._consumer.fetch(self._records_per_turn, ceil(wait * 1000) / 1000)  # the client knows milliseconds

    def _wait_for_mail(self) -> float:
        """Seconds for which this turn may wait for it."""
        now = self.clock()
        longest = BUSY_WAIT if now < self._busy_until else CALM_WAIT
        if self._holding or self._draining:
            return longest
        if self._has_more or not self.core.awaits_answers:
            return 0.0
        return min(longest, max(0.0, self.core.wake_at - now))

    @property
    def _records_per_turn(self) -> int:
        return self._size.records(self.core.buffers.share_bytes)

    def _look_at_clock(self) -> None:
        if self.clock() >= self.core.wake_at:
            self.handle(ev.Tick())
        self._carry_out()

    def handle(self, event: ev.Event) -> None:
        """Give one event to the core and gather what it wants."""
        now = self.clock()
        if not isinstance(event, ev.Tick):
            self._busy_until = now + BUSY_FOR
        effects = self.core.handle(event, now)
        self._observe(event, effects, now)
        self._effects.extend(effects)

    def _carry_out(self) -> None:
        while self._effects:
            effects, self._effects = self._effects, []
            for effect in effects:
                self._routes.get(type(effect), self._publish)(effect)
        if self._gave_up is not None:
            raise GaveUp(self._gave_up)

    def _positions(self) -> dict[TopicPartition, int]:
        return {tp: p.expected for tp, p in self.core.partitions.items() if p.expected is not None}

    # --- effects that stay here --------------------------------------------------------------------------------------

    def _set_hold(self, effect: ef.HoldFetching) -> None:
        self._holding = effect.on

    def _give_up(self, effect: ef.GiveUp) -> None:
        self._gave_up = effect.text

    def _report(self, effect: ef.Report) -> None:
        where = (
            "" if effect.tp is None else f"{effect.tp}" if effect.lane is None else f"{effect.tp} lane {effect.lane}"
        )
        level = logging.getLevelNamesMapping()[effect.level.upper()]
        text = f"{where}: {effect.text}" if where else effect.text
        logger.log(level, "%s", text, extra={"action": effect.action, **_about(effect)})

    # --- the consumer's callbacks, inside fetch ----------------------------------------------------------------------

    def on_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """The group gave us partitions."""
        self.assigned_once = True
        self._in_callback(ev.Assigned(self._carried(partitions)), at_once=False)

    def on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """The group takes partitions: the last commit goes now, nothing is waited for."""
        self._in_callback(ev.Revoked(self._carried(partitions)), at_once=True)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """The group has taken partitions."""
        self._in_callback(ev.Lost(self._carried(partitions)), at_once=True)

    def on_commit(self, answers: Mapping[TopicPartition, Answered]) -> None:
        """The broker has answered a commit."""
        found = {
            tp: (serial, offset, ev.CommitAnswer(answer.value), text)
            for tp, (serial, offset, answer, text) in answers.items()
        }
        self._in_callback(ev.CommitAnswered(found), at_once=False)

    def _carried(self, partitions: Sequence[TopicPartition]) -> tuple[TopicPartition, ...]:
        return tuple(tp for tp in partitions if not self._left_out(tp.topic))

    def _in_callback(self, event: ev.Event, *, at_once: bool) -> None:
        """Callbacks must not raise: what goes wrong comes out after the fetch."""
        try:
            self.handle(event)
            if at_once:
                self._carry_out()
        except BaseException as error:  # noqa: BLE001 - raised again by `_take_records`
            self._callback_error = error


def _about(effect: ef.Report) -> dict[str, object]:
    """What the report is about, as far as it says, for logs that machines read."""
    topic, partition = effect.tp or (None, None)
    fields = {"topic": topic, "partition": partition, "lane": effect.lane}
    fields |= {"chain": effect.chain or None, "attempt": effect.attempt or None}
    return {name: value for name, value in fields.items() if value is not None}
