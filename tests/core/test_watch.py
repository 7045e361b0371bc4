"""Chains that do not move: links that nobody claims, workers that are gone, links that run for too long."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.failures import Limits
from bridge.core.lane import Phase
from bridge.core.watch import LINK_TIMEOUT, Finding, WatchTimes, Workers
from bridge.entries import Counters, Heartbeat
from bridge.records import PipelineRules
from tests.core.bench import RULES, Bench

TWO_LINKS = replace(RULES, tasks=("parse", "store"), link_timeout=30.0)


def beat(bench: Bench, worker: str = "w1", **fields: object) -> None:
    """The worker gives a sign of life now."""
    given: dict[str, object] = {
        "hostname": f"{worker}.host",
        "pool": "prefork",
        "queues": ("lane-0",),
        "tasks": ("parse", "store"),
        "links": (),
        "written_ms": int(bench.now * 1000),
    }
    others = tuple(other for other in bench.beats if other.worker != worker)
    bench.beats = (*others, Heartbeat(worker, **(given | fields)))  # type: ignore[arg-type]


def running(rules: PipelineRules = TWO_LINKS) -> Bench:
    bench = Bench(rules).assign()
    bench.fetch(0, 1, 2)
    return bench


def link_of(bench: Bench) -> str:
    flight = bench.lane().flight
    assert flight is not None
    return f"{flight.chain}-{flight.link}"


def live(bench: Bench, seconds: int, **fields: object) -> None:
    """Time passes, the worker w1 gives its sign of life every three seconds."""
    for _ in range(seconds // 3):
        beat(bench, "w1", **fields)
        bench.wait(3)


# --- nobody claims ----------------------------------------------------------------------------------------------------


def test_a_link_that_nobody_claims_is_published_again_at_doubling_intervals() -> None:
    bench = running()
    beat(bench)
    times = []
    bench.take(ef.PublishLink)
    while bench.now < 2200:
        bench.wait(1)
        times += [round(bench.now - 100) for _ in bench.take(ef.PublishLink)]
    pauses = [b - a for a, b in pairwise(times)]
    assert times[0] == pytest.approx(15, abs=1)
    assert pauses[:7] == pytest.approx([30, 60, 120, 240, 300, 300, 300], abs=2)


def test_a_link_that_a_worker_has_reserved_is_not_published_again() -> None:
    bench = running()
    bench.take(ef.PublishLink)
    live(bench, 60, links=(link_of(bench),))
    assert bench.take(ef.PublishLink) == []
    assert bench.lane().reason == "waiting for a free worker on lane-0"
    assert not bench.lane().stalled


def test_a_lane_that_no_worker_serves_says_so() -> None:
    bench = running()
    bench.wait(20)
    assert (bench.lane().stalled, bench.lane().reason) == (True, "no worker consumes lane-0")
    assert bench.said("stalled") == ["no worker consumes lane-0"]
    beat(bench, queues=("lane-9",))
    bench.wait(2)
    assert bench.said("stalled") == []  # said once


def test_a_lane_whose_task_no_worker_knows_says_which_workers_do_not() -> None:
    bench = running()
    beat(bench, "w1", tasks=("other",))
    beat(bench, "w2", tasks=("store",))
    bench.wait(20)
    assert bench.lane().reason == "task parse not registered on w1.host, w2.host"
    assert bench.lane().stalled


def test_a_lane_that_is_claimed_at_last_is_not_stalled_any_more() -> None:
    bench = running()
    bench.wait(20)
    assert bench.lane().stalled
    beat(bench)
    bench.claim()
    bench.wait(1.1)
    assert (bench.lane().stalled, bench.lane().reason) == (False, "")


def test_the_second_link_is_watched_from_the_time_it_was_due() -> None:
    bench = running()
    beat(bench)
    bench.claim()
    bench.wait(2)
    bench.advance()
    bench.take(ef.PublishLink)
    bench.wait(13)
    assert bench.take(ef.PublishLink) == []
    bench.wait(4)
    assert [effect.link for effect in bench.take(ef.PublishLink)] == [2]


# --- workers that are gone --------------------------------------------------------------------------------------------


def test_a_claimed_link_whose_worker_gives_no_sign_of_life_is_tried_again_at_once() -> None:
    bench = running()
    bench.claim(worker="w1")
    beat(bench)
    bench.wait(3)
    bench.beats = ()
    begun = bench.now
    while bench.lane().counters.losses == 0:
        bench.wait(1)
    assert bench.now - begun <= 15
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.lane().counters == Counters(0, losses=1, tries=1)


def test_a_lost_worker_is_counted_apart_and_three_times_is_enough() -> None:
    bench = running()
    for _ in range(3):
        assert bench.batches() == [[0, 1, 2]]
        bench.claim(worker="w1")
        bench.wait(20)
    (said,) = bench.said("split")
    assert "out of attempts (3): WorkerLost: worker w1 has given no sign of life" in said
    assert bench.batches() == [[0, 1]]


def test_a_record_that_kills_its_worker_each_time_is_dead_lettered_as_that() -> None:
    bench = Bench(TWO_LINKS).assign()
    bench.fetch(0)
    bench.wait(1)
    for _ in range(3):
        bench.claim(worker="w1")
        bench.wait(20)
    assert bench.dead_letters() == [(0, "worker_lost")]
    assert bench.committed() == 1


def test_a_link_that_its_live_worker_does_not_list_in_two_heartbeats_is_lost() -> None:
    bench = running()
    bench.claim(worker="w1")
    live(bench, 3)
    assert bench.lane().counters.losses == 0
    live(bench, 3)
    assert bench.lane().counters.losses == 0
    live(bench, 6)
    assert bench.lane().counters.losses == 1


def test_a_link_that_its_live_worker_does_not_list_is_lost_also_when_the_servers_clock_was_set_back() -> None:
    bench = running(replace(TWO_LINKS, link_timeout=1000.0))
    bench.claim(worker="w1")
    live(bench, 3, pool="solo")
    for _ in range(4):
        beat(bench, "w1", pool="solo", written_ms=int((bench.now - 7200) * 1000))
        bench.wait(3)
    assert bench.lane().counters.losses == 1


def test_a_link_that_its_worker_lists_is_not_lost_however_long_it_takes() -> None:
    bench = running()
    bench.claim(worker="w1")
    bench.wait(1.1)
    link = link_of(bench)
    live(bench, 3)
    live(bench, 24, links=(link,))
    assert bench.lane().phase is Phase.RUNNING
    assert bench.take(ef.SetFault) == []


def test_while_redis_was_away_no_worker_is_declared_dead() -> None:
    bench = running(RULES)
    bench.claim(worker="w1")
    beat(bench)
    bench.wait(3)
    bench.failing = {ef.ReadLanes}
    bench.wait(40)
    bench.failing = set()
    bench.redis_since = bench.now
    bench.wait(10)
    assert bench.take(ef.SetFault) == []
    bench.wait(8)
    assert len(bench.take(ef.SetFault)) >= 1


def test_a_bridge_that_stood_still_does_not_declare_workers_dead() -> None:
    bench = running(RULES)
    bench.claim(worker="w1")
    beat(bench)
    bench.wait(3)
    bench.silent = {ef.ReadLanes}
    bench.wait(1)
    bench.now += 60  # frozen, with a reading under way
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.take(ef.SetFault) == []
    live(bench, 12, links=(link_of(bench),))
    assert bench.take(ef.SetFault) == []


def test_old_signs_of_life_are_forgotten() -> None:
    workers = Workers(WatchTimes())
    workers.update((Heartbeat("w1", "h", "solo", (), (), ()),), 0.0, 100.0)
    workers.update((), 0.0, 100.0 + 151.0)
    assert workers.find("w1") is None
    assert workers._last_sign == {}


# --- links that run for too long --------------------------------------------------------------------------------------


def overdue(pool: str = "prefork") -> Bench:
    bench = running()
    bench.claim(worker="w1")
    bench.wait(1.1)
    live(bench, 33, links=(link_of(bench),), pool=pool)
    return bench


def test_a_link_beyond_its_time_is_superseded_and_its_process_killed() -> None:
    bench = overdue()
    (terminate,) = bench.take(ef.TerminateLinks)
    first, second = bench.take(ef.Dispatch)
    assert terminate.links == (f"{first.chain.id}-1",)
    assert second.publish_after_s == 5.0
    assert second.counters == Counters(0, timeouts=1, tries=1)


def test_a_superseded_link_that_has_ended_lets_the_next_attempt_go_at_once() -> None:
    bench = overdue()
    (terminate,) = bench.take(ef.TerminateLinks)
    bench.take(ef.PublishLink)
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "revoked", "w2"))
    assert bench.take(ef.PublishLink) == []  # said at once by workers that do not run it
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w2"))
    assert bench.take(ef.PublishLink) == []  # a copy that another worker had in hand
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert len(bench.take(ef.PublishLink)) == 1
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert bench.take(ef.PublishLink) == []


def test_the_end_of_one_superseded_link_does_not_let_another_lane_go() -> None:
    bench = overdue()
    other = bench.partition()
    assert other.lanes[0].flight is not None
    other.lanes[0].flight.waits_for = "another-1"
    bench.take(ef.PublishLink)
    (terminate,) = bench.take(ef.TerminateLinks)
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert bench.take(ef.PublishLink) == []


def test_a_superseded_link_that_says_nothing_delays_the_next_attempt_by_five_seconds() -> None:
    bench = running()
    bench.claim(worker="w1")
    bench.wait(1.1)
    link = link_of(bench)
    while not bench.take(ef.TerminateLinks):
        beat(bench, links=(link,))
        bench.wait(1)
    bench.take(ef.PublishLink)
    bench.wait(3.8)
    assert bench.take(ef.PublishLink) == []
    assert bench.lane().reason == "waiting until the superseded link is stopped"
    bench.wait(1.2)
    assert len(bench.take(ef.PublishLink)) == 1


def test_after_the_second_timeout_the_batch_is_split_and_no_part_runs_before_the_last_link_is_killed() -> None:
    bench = overdue()
    bench.wait(5)
    bench.claim(worker="w1")
    bench.wait(1.1)
    link = link_of(bench)
    bench.batches()
    while bench.lane().counters.timeouts < 2:
        beat(bench, links=(link,))
        bench.wait(1)
    assert bench.lane().phase is Phase.DISPOSING
    assert "link 1 runs for more than link_timeout=30 s on w1" in bench.lane().reason
    assert len(bench.take(ef.TerminateLinks)) == 2
    bench.wait(3.5)
    assert bench.batches() == []
    bench.wait(1.5)
    assert bench.batches() == [[0, 1]]


def test_a_record_that_timed_out_is_given_up_as_soon_as_its_link_is_known_to_be_dead() -> None:
    bench = Bench(TWO_LINKS, limits=Limits(max_timeouts=1)).assign()
    bench.fetch(0)
    bench.wait(1)
    bench.claim()
    link = link_of(bench)
    bench.fault("timeout", LINK_TIMEOUT)
    assert bench.take(ef.WriteDeadLetters) == []
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "revoked", "w2"))
    assert bench.take(ef.WriteDeadLetters) == []
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert bench.dead_letters() == [(0, "timeout")]


def test_a_pool_that_cannot_be_stopped_from_outside_stalls_until_the_link_ends() -> None:
    bench = overdue("solo")
    assert bench.take(ef.TerminateLinks) == []
    assert bench.lane().stalled
    assert bench.lane().reason.endswith("its pool (solo) cannot be stopped from outside")
    bench.claim()
    assert bench.advance() is False  # somebody else's nonce
    bench.wait(60)
    assert bench.lane().phase is Phase.RUNNING


def test_a_finding_names_itself() -> None:
    assert {finding.value for finding in Finding} == {
        "fine",
        "waiting",
        "stalled",
        "publish again",
        "worker lost",
        "timed out",
    }


# --- outcomes that nobody told ----------------------------------------------------------------------------------------


def test_an_outcome_whose_notice_was_lost_is_found_within_a_second() -> None:
    bench = running(RULES)
    bench.complete(heard=False)
    assert bench.committed() == 0
    bench.wait(1.1)
    assert bench.committed() == 3


def test_a_reading_that_is_older_than_the_chain_is_not_believed() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch, ef.ReadLanes}
    bench.fetch(0, 1, 2)
    bench.partition().lanes[0].unsure = False
    (effect,) = bench.kept
    serial = bench.partition().serial
    bench.silent = {ef.ReadLanes}
    bench.kept.clear()
    entry = bench.ledger.read([bench.partition().tp])[bench.partition().tp]
    number = bench.core.sweeping.number
    bench.carry_out(effect)
    bench.handle(ev.LanesRead(number, {bench.partition().tp: (serial, entry)}, (), 0.0))
    assert bench.partition().is_active
    assert bench.lane().phase is Phase.RUNNING


def test_a_reading_that_was_given_up_may_be_answered_or_fail_late() -> None:
    bench = running(RULES)
    bench.wait(1.1)
    bench.silent = {ef.ReadLanes}
    bench.wait(17)
    first, second = bench.kept
    bench.complete(heard=False)
    bench.take(ef.ReadLanes)
    bench.carry_out(first)  # late, but true
    assert bench.committed() == 3
    bench.handle(ev.EffectFailed(first, "late"))
    bench.wait(5)
    assert bench.take(ef.ReadLanes) == []  # the second is still under way
    bench.handle(ev.EffectFailed(second, "silent"))


def test_nothing_is_read_while_nothing_is_in_flight() -> None:
    bench = Bench().assign()
    bench.take(ef.ReadLanes)
    bench.wait(10)
    assert bench.take(ef.ReadLanes) == []
    bench.fetch(0, 1, 2)
    bench.wait(5)
    assert 4 <= len(bench.take(ef.ReadLanes)) <= 6
