"""Records are being disposed of, and something does not work: the broker, the ledger, this bridge."""

from __future__ import annotations

from dataclasses import replace

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import ADOPTED_WAIT
from bridge.core.lane import Phase
from bridge.records import Retry
from tests.core.bench import KEY_0, KEY_1, OTHER, TP, Bench, row
from tests.core.given_up import (
    ASKS,
    KEYED,
    ONCE,
    chain_of,
    finish,
    running,
)


def test_dead_letters_that_cannot_be_written_are_repeated_the_lane_says_why_and_other_lanes_go_on() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    lane = bench.lane(0)
    assert (lane.phase, lane.stalled) == (Phase.DISPOSING, True)
    assert lane.reason == (
        "out of reach (tried again until it answers; the lane waits, nothing is lost); "
        "given up: offset 0 in store, out of attempts (1): ValueError: no"
    )
    assert bench.core.repeats.trouble == ""  # nobody else needs the topic
    bench.complete(lane=1)
    bench.fetch(row(2, KEY_1))
    bench.wait(30)
    assert bench.lane(1).phase is Phase.RUNNING
    assert len(bench.take(ef.WriteDeadLetters)) > 10
    assert bench.committed() == 0
    bench.failing = set()
    bench.wait(3)
    assert bench.dead_letters() == [(0, "exhausted")]
    assert bench.said("dead_letter")[0].endswith("offset 0 in store, out of attempts (1): ValueError: no")
    assert (lane.phase, lane.stalled) == (Phase.FREE, False)


def test_the_letters_of_several_lanes_that_cannot_be_written_are_all_repeated() -> None:
    bench = Bench(KEYED, brake_limit=0.0).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    bench.fail(1, lane=1)
    bench.failing = set()
    bench.wait(3)
    assert sorted(bench.dead_letters()) == [(0, "exhausted"), (1, "exhausted")]
    assert bench.committed() == 2


def test_letters_of_a_partition_that_is_gone_are_not_written_any_more() -> None:
    bench = running()
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.handle(ev.Lost((TP,)))
    bench.failing = set()
    bench.take(ef.WriteDeadLetters)
    bench.wait(10)
    assert bench.take(ef.WriteDeadLetters) == []


def test_a_failure_to_write_that_comes_late_says_nothing_of_the_lane() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    (write,) = bench.kept
    bench.carry_out_kept()
    bench.handle(ev.EffectFailed(write, "late"))
    assert not bench.lane().stalled
    bench.wait(5)
    assert len(bench.dead) == 1


def test_a_bridge_that_is_no_longer_the_owner_writes_nothing_and_assigns_again() -> None:
    bench = running()
    before = bench.partition().owner.number
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.dead == []
    assert bench.said("reassign") == ["assigning again: the ledger says that another owner has the partition"]
    assert bench.partition().owner.number > before
    bench.wait(ADOPTED_WAIT)
    assert bench.dead_letters() == [(0, "exhausted")]
    finish(bench)


def test_a_settle_that_is_refused_assigns_again_and_what_is_acknowledged_is_not_written_again() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.said("reassign") == ["assigning again: another owner while records were disposed of"]
    finish(bench)
    assert bench.dead_letters() == [(0, "exhausted")]


def test_after_a_refused_settle_the_records_behind_it_have_all_their_attempts() -> None:
    bench = running(replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0)))
    bench.fail(0)
    bench.wait(1)
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    bench.fail(1)
    assert bench.lane().phase is Phase.RETRYING
    assert bench.dead_letters() == [(0, "exhausted")]


def test_a_settle_that_was_not_answered_is_repeated() -> None:
    bench = running()
    bench.failing = {ef.Settle}
    bench.fail(0)
    bench.wait(5)
    assert len(bench.take(ef.Settle)) > 3
    bench.failing = set()
    bench.wait(3)
    finish(bench)
    assert len(bench.dead) == 1


def test_answers_that_come_late_or_twice_change_nothing() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    (settle,) = bench.kept
    assert isinstance(settle, ef.Settle)
    serial = bench.partition().serial
    for number in (settle.number, settle.number + 1):
        bench.handle(ev.DeadLettersWritten(OTHER, serial, 0, number, True))
        bench.handle(ev.DeadLettersWritten(TP, serial + 1, 0, number, True))
        bench.handle(ev.DeadLettersWritten(TP, serial, 9, number, True))
    bench.handle(ev.Settled(TP, serial, 0, settle.number + 1, True))
    assert bench.lane().phase is Phase.DISPOSING
    bench.silent = set()
    bench.carry_out_kept()
    chain = chain_of(bench)
    bench.carry_out(settle)
    bench.handle(ev.DeadLettersWritten(TP, serial, 0, settle.number, True))
    assert (bench.lane().phase, chain_of(bench)) == (Phase.RUNNING, chain)


def test_redis_emptied_while_dead_letters_are_written_lets_the_record_run_again() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.flush()
    bench.silent = set()
    bench.carry_out_kept()  # the ledger does not know this owner
    assert bench.dead == []
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    finish(bench)


def test_redis_emptied_behind_the_acknowledgement_is_told_what_is_finished() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.flush()
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.take(ef.Restore)[-1].watermarks == {0: 1}
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    bench.fail(1)
    assert bench.dead_letters() == [(0, "exhausted"), (1, "exhausted")]
    finish(bench)


def test_redis_emptied_while_the_on_failed_task_is_asked_lets_the_record_run_again() -> None:
    bench = running(ASKS)
    bench.fail(0)
    bench.claim()
    bench.ledger.flush()
    bench.wait(1.1)
    assert [r[0] for r in bench.payload().rows] == [0, 1, 2]
    assert bench.payload().judged is None
    finish(bench)


def test_an_older_redis_that_shows_the_chain_running_is_waited_for() -> None:
    bench = running()
    bench.claim()
    saved = bench.ledger.save()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.roll_back(saved)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.lane().phase is Phase.ADOPTED
    assert bench.dead == []
    bench.complete()
    assert bench.committed() == 3


def test_a_bridge_that_stops_while_it_disposes_begins_nothing_and_hears_out_what_it_began() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    bench.handle(ev.Stop())
    bench.fail(1, lane=1)
    bench.silent = set()
    bench.carry_out_kept()
    bench.wait(60)
    assert bench.dead_letters() == [(0, "exhausted")]
    assert (bench.lane(1).phase, bench.committed()) == (Phase.DISPOSING, 1)


def test_a_bridge_that_stood_still_asks_whether_it_is_the_owner_before_it_disposes_of_more() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.now += 30
    bench.handle(ev.Tick())
    bench.silent = set()
    bench.kept.clear()  # nobody answers what was asked before
    assert bench.said("reassign") == ["assigning again: this process stood still for 30 s"]
    bench.wait(ADOPTED_WAIT)
    assert bench.dead_letters() == [(0, "exhausted")]
    finish(bench)
