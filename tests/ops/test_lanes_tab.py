"""What the Lanes tab is made of, without Flower: rows, summary, series, the feed, who may act."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.instructions import Instructions, Pause, Target
from bridge.ops.lanes_tab.advice import advice
from bridge.ops.lanes_tab.feed import Feed
from bridge.ops.lanes_tab.reading import Reading, Unreadable
from bridge.ops.lanes_tab.rows import Rows
from bridge.ops.lanes_tab.security import why_foreign, why_nobody_may_act
from bridge.ops.lanes_tab.series import Series, quantile
from bridge.ops.lanes_tab.summary import summarize
from bridge.ops.lanes_tab.timeline import timeline
from bridge.ops.state import State
from bridge.ops.totals import SECONDS_BOUNDS, Distribution, Totals
from bridge.records import TopicPartition
from tests.browser import scenes

NOTHING = Instructions()


class TestRows:
    """A row per lane, and since when."""

    def test_a_state_counts_from_its_first_sight(self) -> None:
        rows = Rows()
        first = rows.make(scenes.state([scenes.running()]), NOTHING, 1000)["orders/0/0"]
        again = rows.make(scenes.state([scenes.running()]), NOTHING, 2000)["orders/0/0"]
        changed = rows.make(scenes.state([scenes.stalled("orders", 0)]), NOTHING, 3000)["orders/0/0"]
        assert [(row.since_ms, row.since_known) for row in (first, again, changed)] == [
            (1000, False),
            (1000, False),
            (3000, True),
        ]

    def test_equal_states_make_equal_rows(self) -> None:
        rows, state = Rows(), scenes.state([scenes.stopped(), scenes.retrying()])
        assert rows.make(state, NOTHING, 1000) == rows.make(state, NOTHING, 2000)

    def test_a_lane_knows_the_pauses_that_hold_it(self) -> None:
        pauses = tuple(Pause(target, "a", 1) for target in (Target("orders"), Target("orders", 1), Target("payments")))
        made = Rows().make(scenes.state([scenes.lane("orders", 0)]), Instructions(1, pauses), 1000)
        assert made["orders/0/0"].pauses == (Target("orders"),)


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        (scenes.stopped(), "Or skip record 4711"),
        (scenes.stopped(at_stake=()), "then retry now."),
        (scenes.stalled(), "goes on by itself"),
        (scenes.retrying(), "retry now"),
        (scenes.lane(state="paused"), "resume it"),
        (scenes.running(), ""),
    ],
)
def test_every_lane_that_needs_a_person_says_what_to_do(lane: Any, said: str) -> None:
    assert said in advice(lane)
    assert bool(said) == bool(advice(lane))


@pytest.mark.parametrize(
    ("state", "health", "headline"),
    [
        (State(), "broken", "No bridge of group g is running"),
        (scenes.state([]), "attention", "no partitions yet"),
        (scenes.state([scenes.running()]), "good", "All lanes move"),
        (scenes.state([scenes.running()], trouble="no Kafka"), "broken", "cannot reach"),
        (scenes.state([scenes.running(), scenes.retrying()]), "attention", "1 lane tried again"),
        (scenes.state([scenes.lane(state="paused"), scenes.retrying()]), "attention", "1 lane paused"),
        (scenes.state([scenes.stopped(), scenes.stalled()]), "broken", "2 lanes stand still: 1 stopped, 1 stalled"),
    ],
)
def test_the_headline_says_the_worst(state: State, health: str, headline: str) -> None:
    found = summarize(state, "g", None)
    assert found.health == health
    assert headline in found.headline


class TestSeries:
    """Points of what totals have grown by."""

    @staticmethod
    def totals(finished: int, *trips: int) -> Totals:
        return Totals(finished=finished, round_trips=Distribution(trips or (0,) * (len(SECONDS_BOUNDS) + 1)))

    def test_a_rate_is_what_was_finished_between_two_points(self) -> None:
        series = Series(0)
        for second, finished in enumerate((1000, 1010, 1030, 1060, 1100, 1150)):
            point = series.take(scenes.state([], totals=self.totals(finished)), second * 1000)
        assert point is not None
        assert (point.at_ms, point.rate, series.rate) == (5000, 30.0, 30.0)

    def test_a_bridge_that_starts_again_counts_from_nothing(self) -> None:
        series = Series(0)
        series.take(scenes.state([], totals=self.totals(1000)), 1000)
        point = series.take(scenes.state([], totals=self.totals(50)), 5000)
        assert point is not None
        assert point.rate == 10.0

    def test_latency_is_that_of_the_chains_since_the_last_point(self) -> None:
        series, nothing = Series(0), [0] * (len(SECONDS_BOUNDS) + 1)
        old, new = [*nothing], [*nothing]
        old[9] = new[9] = 1000
        new[1] += 10
        series.take(scenes.state([], totals=self.totals(0, *old)), 1000)
        point = series.take(scenes.state([], totals=self.totals(0, *new)), 5000)
        assert point is not None
        assert point.median == 0.0075
        assert point.p95 is not None
        assert point.p95 < 0.01

    def test_an_hour_is_kept(self) -> None:
        series = Series(0)
        for number in range(800):
            series.take(State(), number * 5000)
        assert len(series.points) == 720

    def test_quantiles(self) -> None:
        counts = [0] * (len(SECONDS_BOUNDS) + 1)
        assert quantile(counts, 0.5) is None
        counts[-1] = 1
        assert quantile(counts, 0.5) == SECONDS_BOUNDS[-1]


class TestFeed:
    """One reading for all viewers."""

    @staticmethod
    def run(read: Callable[[], Reading], viewers: Callable[[Feed], Any]) -> Any:
        async def play() -> Any:
            feed = Feed("g", read)
            running = asyncio.create_task(feed.run())
            try:
                return await asyncio.wait_for(viewers(feed), 30.0)
            finally:
                running.cancel()

        return asyncio.run(play())

    def test_many_viewers_cost_one_reading(self) -> None:
        readings: list[int] = []

        def read() -> Reading:
            readings.append(1)
            return Reading(len(readings) * 1000, scenes.state([scenes.running()]))

        async def viewers(feed: Feed) -> list[tuple[int, bytes]]:
            first = await asyncio.gather(*(feed.next(0) for _ in range(50)))
            second = await asyncio.gather(*(feed.next(number) for number, _ in first))
            assert len({message for _, message in second}) == 1
            return second

        second = self.run(read, viewers)
        assert {number for number, _ in second} == {2}
        assert len(readings) == 2

    def test_only_what_changed_is_sent_and_all_of_it_after_a_gap(self) -> None:
        states = iter([[scenes.running(), scenes.stopped()], [scenes.running(), scenes.stalled()], [], []])

        def read() -> Reading:
            return Reading(1000, scenes.state(next(states)))

        async def viewers(feed: Feed) -> list[Any]:
            number, whole = await feed.next(0)
            number, change = await feed.next(number)
            _, late = await feed.next(0)
            return [json.loads(each) for each in (whole, change, late)]

        whole, change, late = self.run(read, viewers)
        assert (whole["full"], change["full"], late["full"]) == (True, False, True)
        assert [row["key"] for row in change["rows"]] == ["payments/2/0"]
        assert change["gone"] == ["orders/7/0"]
        assert {row["key"] for row in late["rows"]} == {"orders/0/0", "payments/2/0"}

    def test_a_silent_ledger_is_told_and_the_picture_stays(self) -> None:
        calls: list[int] = []

        def read() -> Reading:
            calls.append(1)
            if len(calls) == 2:
                raise Unreadable("the ledger (Redis) does not answer")
            return Reading(1000, scenes.state([scenes.running()]))

        async def viewers(feed: Feed) -> list[Any]:
            ticks = []
            for number in range(3):
                ticks.append(json.loads((await feed.next(number))[1]))
            assert feed.lane("orders", 0, 0) is not None
            return ticks

        first, silent, again = self.run(read, viewers)
        assert [tick["trouble"] for tick in (first, silent, again)] == ["", "the ledger (Redis) does not answer", ""]
        assert silent["at_ms"] == 1000


def task(**about: Any) -> SimpleNamespace:
    """A task as Flower keeps it."""
    plain = dict.fromkeys(("received", "started", "succeeded", "failed", "revoked", "runtime", "exception", "worker"))
    return SimpleNamespace(**{**plain, "name": "orders.store", "state": "SUCCESS", "args": "orders[1] 0..9", **about})


class TestTimeline:
    """Chains among Flower's tasks."""

    TP = TopicPartition("orders", 1)

    def test_links_come_together_the_newest_chain_first(self) -> None:
        tasks = {
            "g.orders-1.0-9.7-1-2": task(received=2.0, started=2.5, succeeded=3.0),
            "g.orders-1.0-9.7-1-1": task(received=1.0),
            "g.orders-1.10-19.7-2-1": task(received=5.0, state="FAILURE", failed=6.0, exception="ValueError('x')"),
            "g.orders-11.0-9.7-1-1": task(received=9.0),
            "other.orders-1.0-9.7-1-1": task(received=9.0),
            "8f4c": task(received=9.0),
        }
        newest, oldest = timeline(tasks, "g", self.TP)
        assert newest.cut == "ended at link 1, nothing behind it ran"
        assert [link.link for link in oldest.links] == [1, 2]
        assert (oldest.cut, oldest.links[1].ended) == ("", 3.0)

    def test_arguments_that_are_not_the_bridges_words_are_not_shown(self) -> None:
        (chain,) = timeline({"g.orders-1.0-9.7-1-1": task(received=1.0, args="({'secret': 1},)")}, "g", self.TP)
        assert chain.links[0].records == ""

    def test_few_are_kept(self) -> None:
        tasks = {f"g.orders-1.{n}-{n}.7-{n}-1": task(received=float(n)) for n in range(100)}
        assert [chain.chain for chain in timeline(tasks, "g", self.TP, 2)] == [
            "g.orders-1.99-99.7-99",
            "g.orders-1.98-98.7-98",
        ]


def options(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"basic_auth": None, "auth": "", "read_only": False, **changes})


@pytest.mark.parametrize(
    ("given", "open_api", "refused"),
    [
        (options(), False, "--basic-auth"),
        (options(), True, ""),
        (options(basic_auth=["a:b"]), False, ""),
        (options(auth=".*@example.com"), False, ""),
        (options(basic_auth=["a:b"], read_only=True), True, "--read_only"),
    ],
)
def test_who_may_act(given: SimpleNamespace, open_api: bool, refused: str) -> None:
    why = why_nobody_may_act(given, unauthenticated_api=open_api)
    assert refused in why
    assert bool(refused) == bool(why)


@pytest.mark.parametrize("host", ["127.0.0.1:5555", "[::1]:5555", "localhost", "localhost:5555", "10.0.0.7"])
def test_addresses_may_act_without_a_login(host: str) -> None:
    assert not why_foreign({"X-Lanebridge-Act": "1"}, host, logged_in=False)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", ""])
def test_names_may_not(host: str) -> None:
    assert why_foreign({"X-Lanebridge-Act": "1"}, host, logged_in=False)
    assert not why_foreign({"X-Lanebridge-Act": "1"}, host, logged_in=True)
