"""The loop with a consumer made by hand: what it does when the consumer, a callback or the core has had enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.events import Assigned, CommitAnswered, KafkaAnswered, OwnerAssigned, Restored
from bridge.core.events import CommitAnswer as Answer
from bridge.entries import Failure, Outcome, Owner, PartitionEntry, Rejection, Seen
from bridge.instructions import Instructions, Pause, Request, Target
from bridge.kafka.consumer import Fetch, FetchInterrupted
from bridge.records import PipelineRules, Row, TopicPartition
from bridge.runtime.loop import BUSY_FOR, BUSY_WAIT, CALM_WAIT, INTERRUPTIONS_LIMIT, TURN_RECORDS, GaveUp, Loop
from bridge.runtime.mail import Mailbox, Station

TP = TopicPartition("t", 0)


class ScriptedConsumer:
    """Gives what the test has put into `script`, in turn, then nothing; notes what is asked of it."""

    def __init__(self) -> None:
        self.script: list[Callable[[], Fetch]] = []
        self.calls: list[tuple[str, Any]] = []
        #: seconds that it was asked to wait for records, call by call
        self.waits: list[float] = []

    def fetch(self, max_records: int, timeout: float) -> Fetch:
        self.calls.append(("fetch", max_records))
        self.waits.append(timeout)
        return self.script.pop(0)() if self.script else Fetch()

    def poll_only(self, timeout: float = 0.0) -> Fetch:
        self.calls.append(("poll_only", None))
        return Fetch()

    def hear(self) -> None:
        self.calls.append(("hear", None))

    def seek_back(self, positions: dict[TopicPartition, int]) -> None:
        self.calls.append(("seek_back", dict(positions)))

    def start(self, tp: TopicPartition, offset: int) -> None:
        self.calls.append(("start", (tp, offset)))

    def commit(self, entries: dict[TopicPartition, ef.CommitEntry]) -> None:
        self.calls.append(("commit", {tp: entry.offset for tp, entry in entries.items()}))


def _row(offset: int) -> Row:
    return (offset, 0, None, b"x", ())


def _loop(left_out: str = "", **more: Any) -> tuple[Loop, ScriptedConsumer, list[ef.Effect]]:
    config = CoreConfig("g", lambda topic: PipelineRules("t", batch_size=2), lambda tp, lane, link: "lane-0")
    given: list[ef.Effect] = []
    take = given.append
    loop = Loop(
        Core(config),
        Mailbox(),
        publisher=take,
        asker=take,
        sweeper=take,
        revoker=take,
        letters=take,
        left_out=lambda topic: topic == left_out,
        **more,
    )
    consumer = ScriptedConsumer()
    loop.attach(consumer)  # type: ignore[arg-type]
    return loop, consumer, given


def _active(**more: Any) -> tuple[Loop, ScriptedConsumer, list[ef.Effect]]:
    """A loop that owns t[0] and reads from 0."""
    loop, consumer, given = _loop(**more)
    facts = KafkaAnswered(TP, 1, committed=None, metadata="", topic_id="id", log_start=0, log_end=0)
    loop.handle(Assigned((TP,)))
    loop.handle(facts)
    loop.handle(OwnerAssigned(TP, 1, PartitionEntry(owner=Owner(7, "b"))))
    loop.handle(facts)
    loop.handle(CommitAnswered({TP: (1, 0, Answer.OK, "")}))
    loop.handle(Restored(TP, 1, accepted=True))
    loop.turn()
    consumer.calls.clear()
    given.clear()
    return loop, consumer, given


def _interrupted() -> Fetch:
    raise FetchInterrupted("a signal")


def test_records_become_a_dispatch_for_the_publisher() -> None:
    loop, consumer, given = _active()
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(0), _row(1)])]))
    loop.turn()
    [dispatch] = [effect for effect in given if isinstance(effect, ef.Dispatch)]
    assert [row[0] for row in dispatch.rows] == [0, 1]


def test_while_an_answer_is_under_way_it_waits_for_mail_and_not_for_records() -> None:
    loop, consumer, _ = _active()
    loop.handle(CommitAnswered({TP: (1, 0, Answer.OK, "")}))
    loop.turn()
    assert consumer.waits[-1] > 0
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(0), _row(1)])]))
    loop.turn()
    waited: list[float] = []
    loop.mailbox.take_all = lambda timeout=0.0: waited.append(timeout) or []  # type: ignore[method-assign, func-returns-value]
    loop.turn()
    assert consumer.waits[-1] == 0.0
    assert waited[-1] > 0


def _waits_for_mail(loop: Loop) -> list[float]:
    """The seconds for which the loop waits for mail, of which there is none, turn by turn."""
    waited: list[float] = []
    loop.mailbox.take_all = lambda timeout=0.0: waited.append(timeout) or []  # type: ignore[method-assign, func-returns-value]
    return waited


def test_a_chain_that_runs_for_long_is_still_waited_for_by_mail() -> None:
    now = [0.0]
    loop, consumer, _ = _active(clock=lambda: now[0])
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(0), _row(1)])]))
    loop.turn()
    waited = _waits_for_mail(loop)
    for now[0] in (BUSY_FOR / 2, BUSY_FOR * 1.5):
        loop.turn()
    assert waited == [BUSY_WAIT, CALM_WAIT]
    assert consumer.waits[-2:] == [0.0, 0.0]


def test_a_lane_that_disposes_of_records_waits_for_mail() -> None:
    loop, consumer, given = _active()
    _chain_ends(loop, consumer, given, Outcome("ok", 2, rejected=(Rejection(0, "no", task="a", link=1),)))
    [letters] = [effect for effect in given if isinstance(effect, ef.WriteDeadLetters)]
    assert not loop.core.chains
    waited = _waits_for_mail(loop)
    loop.turn()
    assert waited[-1] > 0
    loop.handle(ev.DeadLettersWritten(TP, letters.serial, letters.lane, letters.number, is_owner=True))
    loop.turn()
    assert waited[-1] > 0
    loop.handle(ev.Settled(TP, letters.serial, letters.lane, letters.number, accepted=True))
    loop.turn()
    assert (waited[-1], consumer.waits[-1] > 0) == (0.0, True)


def test_a_commit_is_waited_for_only_when_another_one_follows() -> None:
    loop, consumer, given = _active()
    loop.handle(CommitAnswered({TP: (1, 0, Answer.OK, "")}))
    _chain_ends(loop, consumer, given, Outcome("ok", 2))
    assert loop.core.commits.is_in_flight
    loop.turn()
    assert consumer.waits[-1] > BUSY_WAIT
    _chain_ends(loop, consumer, given, Outcome("ok", 4), first=2)
    loop.turn()
    assert consumer.waits[-1] == BUSY_WAIT


def _chain_ends(
    loop: Loop,
    consumer: ScriptedConsumer,
    given: list[ef.Effect],
    outcome: Outcome,
    first: int = 0,
) -> None:
    """Two records come, and their chain reports."""
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(first), _row(first + 1)])]))
    loop.turn()
    chain = [effect.chain.id for effect in given if isinstance(effect, ef.Dispatch)][-1]
    loop.handle(ev.Dispatched(TP, 1, 0, chain, ev.DispatchAnswer.OK))
    loop.handle(ev.OutcomeHeard(TP, 0, Seen(chain, 1), outcome))
    loop._carry_out()


def test_it_waits_for_nothing_while_there_are_more_records() -> None:
    loop, consumer, _ = _active()
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(offset) for offset in range(TURN_RECORDS)])]))
    loop.turn()
    waited: list[float] = []
    loop.mailbox.take_all = lambda timeout=0.0: waited.append(timeout) or []  # type: ignore[method-assign, func-returns-value]
    loop.turn()
    assert (waited, consumer.waits[-1]) == ([0.0], 0.0)


def test_mail_that_comes_ends_the_wait_for_it() -> None:
    mailbox = Mailbox()
    threading.Timer(0.01, mailbox.post, [ev.Tick()]).start()
    assert mailbox.take_all(timeout=60.0) == [ev.Tick()]
    assert mailbox.take_all(timeout=0.001) == []


def test_mail_that_only_confirms_ends_no_wait_and_comes_before_what_does() -> None:
    mailbox, chain = Mailbox(), "g.t-0.0-1.7-1"
    confirming: list[ev.Event] = [
        ev.Dispatched(TP, 1, 0, chain, ev.DispatchAnswer.OK),
        ev.Published(TP, 1, 0, chain, 1, sure=True),
    ]
    for event in confirming:
        mailbox.post(event)
    threading.Timer(0.01, mailbox.post, [ev.Tick()]).start()
    assert mailbox.take_all(timeout=60.0) == [*confirming, ev.Tick()]
    mailbox.post(confirming[0])
    assert mailbox.take_all(timeout=0.001) == [confirming[0]]


@pytest.mark.parametrize(
    "event",
    [
        ev.Dispatched(TP, 1, 0, "chain", ev.DispatchAnswer.CHANGED),
        ev.Published(TP, 1, 0, "chain", 1, sure=False),
    ],
)
def test_mail_that_says_that_a_chain_is_not_on_its_way_ends_the_wait(event: ev.Event) -> None:
    mailbox = Mailbox()
    mailbox.post(ev.Dispatched(TP, 1, 0, "another", ev.DispatchAnswer.OK))
    mailbox.post(event)
    assert mailbox.take_all(timeout=threading.TIMEOUT_MAX)[-1] == event


def test_after_an_interrupted_fetch_every_partition_is_set_back_to_what_comes_next() -> None:
    loop, consumer, _ = _active()
    consumer.script += [lambda: Fetch(runs=[(TP, [_row(0)])]), _interrupted]
    loop.turn()
    loop.turn()
    assert ("seek_back", {TP: 1}) in consumer.calls


def test_an_answer_about_the_topics_shows_the_consumer_that_kafka_is_there() -> None:
    loop, consumer, _ = _active()
    loop.turn()
    assert ("hear", None) not in consumer.calls
    loop.mailbox.post(ev.TopicsSeen({}))  # nobody has answered
    loop.turn()
    assert ("hear", None) not in consumer.calls
    loop.mailbox.post(ev.TopicsSeen({"t": "id-1"}))
    loop.turn()
    assert ("hear", None) in consumer.calls


def test_an_error_in_a_callback_comes_out_after_the_fetch() -> None:
    loop, consumer, _ = _active()

    def fetch() -> Fetch:
        loop.on_assign([TopicPartition("unknown", 0)])
        return Fetch()

    loop.core.config = CoreConfig("g", _no_pipeline, lambda tp, lane, link: "lane-0")
    consumer.script.append(fetch)
    with pytest.raises(LookupError, match="no pipeline"):
        loop.turn()


def test_partitions_of_a_topic_that_is_left_out_come_and_go_unnoticed() -> None:
    loop, _, given = _loop(left_out="t.dlq")
    silent = TopicPartition("t.dlq", 0)

    loop.on_assign([silent, TP])
    loop.turn()
    assert list(loop.core.partitions) == [TP]
    assert {effect.tp for effect in given if isinstance(effect, ef.AskKafka)} == {TP}

    loop.on_revoke([silent])
    loop.on_lost([silent])
    assert list(loop.core.partitions) == [TP]


def _no_pipeline(topic: str) -> PipelineRules:
    raise LookupError("no pipeline")


def test_the_last_commit_of_a_revoked_partition_goes_inside_the_callback() -> None:
    loop, consumer, _ = _active()
    loop.core.partitions[TP].position = 5
    seen: list[list[tuple[str, Any]]] = []

    def fetch() -> Fetch:
        loop.on_revoke([TP])
        seen.append(list(consumer.calls))
        return Fetch()

    consumer.script.append(fetch)
    loop.turn()
    assert ("commit", {TP: 5}) in seen[0]


def test_a_draining_loop_takes_no_records_but_serves_callbacks() -> None:
    loop, consumer, _ = _active()
    loop.drain()
    assert [name for name, _ in consumer.calls] == ["poll_only"]


def test_a_turn_takes_no_more_large_records_than_one_partition_may_hold() -> None:
    loop, consumer, _ = _active()
    loop.turn()
    share = loop.core.buffers.share_bytes
    consumer.script.append(lambda: Fetch(runs=[(TP, [(5, 0, None, b"x" * (share // 4), ())])]))
    loop.turn()
    loop.turn()
    asked = [number for name, number in consumer.calls if name == "fetch"]
    assert asked[-2] == TURN_RECORDS
    assert 1 <= asked[-1] <= 5


def test_what_the_core_gives_up_ends_the_loop_with_its_text() -> None:
    loop, _, _ = _loop()
    loop.handle(Assigned((TP,)))
    loop._effects.append(ef.GiveUp("start_from='error'"))
    with pytest.raises(GaveUp, match="start_from"):
        loop.turn()


def test_a_station_works_everything_off_before_it_stops() -> None:
    done: list[int] = []
    station: Station[int] = Station("s", done.extend, lambda error: None)
    for number in range(5):
        station.give(number)
    station.start()
    assert station.stop(10.0)
    assert done == [0, 1, 2, 3, 4]


def test_an_exception_out_of_a_station_is_told_and_not_swallowed() -> None:
    broken: list[BaseException] = []

    def work(items: Sequence[int]) -> None:
        raise RuntimeError("defect")

    station: Station[int] = Station("s", work, broken.append)
    station.start()
    station.give(1)
    assert station.stop(10.0)
    assert [str(error) for error in broken] == ["defect"]


def test_a_fetch_that_never_succeeds_ends_the_bridge() -> None:
    loop, consumer, _ = _active()
    consumer.script += [_interrupted] * INTERRUPTIONS_LIMIT
    for _ in range(INTERRUPTIONS_LIMIT - 1):
        loop.turn()
    with pytest.raises(GaveUp, match="cannot be fetched"):
        loop.turn()


def test_interruptions_with_good_fetches_between_them_do_not_end_it() -> None:
    loop, consumer, _ = _active()
    consumer.script += [_interrupted, Fetch] * INTERRUPTIONS_LIMIT
    for _ in range(2 * INTERRUPTIONS_LIMIT):
        loop.turn()
    assert sum(name == "seek_back" for name, _ in consumer.calls) == INTERRUPTIONS_LIMIT


def test_whoever_observes_sees_each_event_with_what_the_core_wants_after_it() -> None:
    seen: list[tuple[type, list[type]]] = []
    loop, _, given = _loop(observe=lambda event, effects, now: seen.append((type(event), [*map(type, effects)])))
    loop.handle(Assigned((TP,)))
    loop.drain()
    assert seen[0] == (Assigned, [ef.AskKafka])
    assert [type(effect) for effect in given] == [ef.AskKafka]


_NAMED = ("action", "topic", "partition", "lane", "chain", "attempt")


def test_what_is_logged_of_a_lane_names_it_and_its_chain_in_fields(caplog: pytest.LogCaptureFixture) -> None:
    loop, consumer, given = _active()
    consumer.script.append(lambda: Fetch(runs=[(TP, [_row(0), _row(1)])]))
    loop.turn()
    [chain] = [effect.chain.id for effect in given if isinstance(effect, ef.Dispatch)]
    loop.handle(ev.Dispatched(TP, 1, 0, chain, ev.DispatchAnswer.OK))
    caplog.clear()
    loop.handle(ev.OutcomeHeard(TP, 0, Seen(chain, 1), Outcome("failed", 0, Failure(0, "failed", message="no"))))
    loop.turn()
    [line] = caplog.records
    assert {name: getattr(line, name) for name in _NAMED} == {
        "action": "retry",
        "topic": "t",
        "partition": 0,
        "lane": 0,
        "chain": chain,
        "attempt": 1,
    }


def test_what_is_logged_of_a_partition_or_of_nothing_names_no_more(caplog: pytest.LogCaptureFixture) -> None:
    loop, _, _ = _active()
    caplog.clear()
    pause, no_lane = Pause(Target("t"), "anna", 0), Request("1", "retry", Target(*TP, 9), 0, "anna", 0)
    loop.handle(ev.Instructed(Instructions(2, (pause,), (no_lane,))))
    loop.turn()
    fields = [{name: getattr(line, name) for name in _NAMED if hasattr(line, name)} for line in caplog.records]
    assert fields == [{"action": "operator"}, {"action": "operator", "topic": "t", "partition": 0}]
