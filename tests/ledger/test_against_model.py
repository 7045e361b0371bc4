"""Random steps of random participants: the server does what the model in plain Python does.

The participants know little: owners that may be out, chains that may be old, claims that may be somebody else's, and
what they once saw. So nearly every refusal and every repeat is met.
"""

from dataclasses import replace
from itertools import count

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bridge.devstack import RedisServer
from bridge.entries import (
    NOTHING_SEEN,
    Counters,
    Failure,
    LaneEntry,
    Outcome,
    Owner,
    PartitionEntry,
    Rejection,
    Seen,
    link_id,
)
from bridge.ledger.connect import connect
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import DispatchCommand, Ledger
from bridge.records import TopicPartition
from tests.ledger.model import LedgerModel

TPS = (TopicPartition("orders", 0), TopicPartition("orders", 10))
#: partition, lane and chain, base
Wanted = tuple[TopicPartition, tuple[int, str], int]

LINKS = 2
#: chain ids are never used in two lanes; here they come back in their own, so that old messages have a chance
CHAINS = {0: ("a", "b", "c"), 1: ("d", "e", "f")}

partitions = st.sampled_from(TPS)
places = st.sampled_from([(lane, chain) for lane, chains in CHAINS.items() for chain in chains])
lanes = st.sampled_from(list(CHAINS))
names = st.sampled_from(("one", "two"))
links = st.integers(1, LINKS)
workers = st.sampled_from(("w1", "w2"))
nonces = st.sampled_from(("n1", "n2", "n3"))
#: small ones, and two that a double cannot tell apart
offsets = st.integers(0, 12) | st.sampled_from((2**53, 2**53 + 1))
payloads = st.none() | st.sampled_from((b"one", b"other"))
#: what commits named as the owner: above every clock, or the same steps would have other answers a second later
committed_numbers = st.sampled_from((2**40, 2**40 + 3))
outcomes = st.builds(
    Outcome,
    st.just("partial"),
    offsets,
    st.none() | st.builds(Failure, offsets, st.sampled_from(("failed", "revoked"))),
    st.lists(st.builds(Rejection, offsets, st.just("bad")), max_size=1).map(tuple),
)

#: whether a chain is asked about the outcome that the lane has, about another one, or about none
questions = st.sampled_from(("no", "yes", "other"))

_groups = count()


class LedgerAgainstModel(RuleBasedStateMachine):
    """Every step goes to both; the answers and what can be read afterwards are the same."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.group = f"random-{next(_groups)}"
        self.client = connect(self.server.url)
        self.real = Ledger(self.client, self.group)
        self.now_ms = 0
        self.model = LedgerModel(lambda: self.now_ms)
        self.owners: list[Owner] = [Owner(1, "nobody")]
        self.seen: list[Seen] = [NOTHING_SEEN]
        self.saved: object = None

    def teardown(self) -> None:
        for key in self.client.scan_iter(f"lanebridge:{{{self.group}/*", count=1000):
            self.client.delete(key)
        self.client.close()

    # --- the owner's -------------------------------------------------------------------------------------------------

    @rule(tp=partitions, bridge=st.sampled_from(("me", "you")), metadata=committed_numbers)
    def assign(self, tp: TopicPartition, bridge: str, metadata: int) -> None:
        found = self.real.assign(tp, bridge, metadata)
        self.now_ms = found.now_ms
        assert same(found) == same(self.model.assign(tp, bridge, metadata))
        self.owners.append(found.owner)

    @rule(tp=partitions, data=st.data(), lane=lanes, watermark=offsets | st.just(-1), base=offsets, name=names)
    def restore(self, tp: TopicPartition, data: st.DataObject, lane: int, watermark: int, base: int, name: str) -> None:
        owner = self.an_owner(data)
        answers = [
            ledger.restore(tp, owner, {lane: watermark}, rule=name, topic_id=name, base=base) for ledger in self.both
        ]
        assert answers[0] == answers[1]

    @rule(tp=partitions, data=st.data(), knows=st.booleans())
    def clear(self, tp: TopicPartition, data: st.DataObject, knows: bool) -> None:
        owner, entry = self.an_owner(data), self.model.read([tp])[tp]
        ended = [link_id(lane.chain, lane.link) for lane in entry.lanes.values() if knows and lane.claim is not None]
        assert self.real.clear(tp, owner, ended) == self.model.clear(tp, owner, ended)

    @rule(tp=partitions, data=st.data(), name=names, base=offsets)
    def change_rule(self, tp: TopicPartition, data: st.DataObject, name: str, base: int) -> None:
        owner = self.an_owner(data)
        assert self.real.change_rule(tp, owner, name, base) == self.model.change_rule(tp, owner, name, base)

    @rule(
        data=st.data(),
        wanted=st.lists(st.tuples(partitions, places, offsets), min_size=1, max_size=3),
        wait=st.sampled_from((0.0, 5.0)),
        judged=st.none() | outcomes,
    )
    def dispatch(self, data: st.DataObject, wanted: list[Wanted], wait: float, judged: Outcome | None) -> None:
        commands = [
            DispatchCommand(
                tp=tp,
                owner=self.an_owner(data),
                lane=lane,
                chain=chain,
                first=base,
                last=base + 3,
                links=LINKS,
                expect=data.draw(st.sampled_from(self.seen)),
                base=base,
                counters=Counters(at=base, failures=lane),
                payload=chain.encode(),
                publish_after_s=wait,
                judged=judged,
            )
            for tp, (lane, chain), base in wanted
        ]
        assert self.real.dispatch(commands) == self.model.dispatch(commands)

    @rule(tp=partitions, data=st.data(), place=places, upto=offsets, base=offsets)
    def settle(self, tp: TopicPartition, data: st.DataObject, place: tuple[int, str], upto: int, base: int) -> None:
        step = (tp, self.an_owner(data), *place, upto, base)
        assert self.real.settle(*step) == self.model.settle(*step)

    @rule(tp=partitions, data=st.data(), place=places)
    def dispose(self, tp: TopicPartition, data: st.DataObject, place: tuple[int, str]) -> None:
        step = (tp, self.an_owner(data), *place)
        assert self.real.dispose(*step) == self.model.dispose(*step)

    @rule(tp=partitions, data=st.data())
    def keep(self, tp: TopicPartition, data: st.DataObject) -> None:
        owner = self.an_owner(data)
        assert self.real.keep(tp, owner) == self.model.keep(tp, owner)

    @rule(tp=partitions, place=places, link=links, worker=workers | st.just(""), outcome=outcomes)
    def fault(self, tp: TopicPartition, place: tuple[int, str], link: int, worker: str, outcome: Outcome) -> None:
        step = (tp, *place, link, worker, outcome)
        assert self.real.fault(*step) == self.model.fault(*step)

    @rule()
    def look(self) -> None:
        for entry in self.real.read(TPS).values():
            self.seen += [lane.seen for lane in entry.lanes.values()]

    # --- a worker's --------------------------------------------------------------------------------------------------

    @rule(tp=partitions, place=places, link=links, worker=workers, nonce=nonces)
    def claim(self, tp: TopicPartition, place: tuple[int, str], link: int, worker: str, nonce: str) -> None:
        handle = Handle.of(self.group, tp, *place, link)
        assert self.real.claim(handle, worker, nonce) == self.model.claim(handle, worker, nonce)

    @rule(tp=partitions, place=places, link=links, nonce=nonces, payload=payloads)
    def advance(self, tp: TopicPartition, place: tuple[int, str], link: int, nonce: str, payload: bytes | None) -> None:
        handle = Handle.of(self.group, tp, *place, link)
        assert self.real.advance(handle, nonce, payload) == self.model.advance(handle, nonce, payload)

    @rule(tp=partitions, place=places, link=links, worker=workers, nonce=nonces, outcome=outcomes)
    def complete(
        self, tp: TopicPartition, place: tuple[int, str], link: int, worker: str, nonce: str, outcome: Outcome
    ) -> None:
        handle = Handle.of(self.group, tp, *place, link)
        assert self.real.complete(handle, worker, nonce, outcome) == self.model.complete(handle, worker, nonce, outcome)

    # --- those who know what they do, so that long lives are met, too ------------------------------------------------

    @rule(tp=partitions, lane=lanes, data=st.data(), again=st.booleans(), asks=questions)
    def dispatch_what_comes_next(
        self, tp: TopicPartition, lane: int, data: st.DataObject, again: bool, asks: str
    ) -> None:
        self.dispatch_next(tp, lane, data, again, asks)

    @rule(tp=partitions, lane=lanes, outcome=outcomes, data=st.data(), asks=st.lists(questions, min_size=1, max_size=3))
    def ask_about_an_outcome(
        self, tp: TopicPartition, lane: int, outcome: Outcome, data: st.DataObject, asks: list[str]
    ) -> None:
        self.assign(tp, "me", 2**40)
        self.dispatch_next(tp, lane, data, False, "no")
        self.run_the_current(tp, lane, None, outcome, ends=True, again=False)
        entry = self.real.read([tp])[tp]
        for ledger in self.both:
            assert ledger.dispose(tp, entry.owner, lane, entry.lanes[lane].chain)
        for each in asks:
            self.dispatch_next(tp, lane, data, False, each)
            self.both_ledgers_read_the_same()

    def dispatch_next(self, tp: TopicPartition, lane: int, data: st.DataObject, again: bool, asks: str) -> None:
        entry = self.real.read([tp])[tp]
        held = entry.lanes.get(lane, LaneEntry(lane))
        known = {"no": None, "yes": held.outcome or held.judged, "other": Outcome("failed", 7)}
        seen, judged = held.seen, known[asks]
        chain = data.draw(st.sampled_from([name for name in CHAINS[lane] if name != seen.chain]))
        payload = chain.encode()
        command = DispatchCommand(
            tp, entry.owner, lane, chain, 5, 9, LINKS, seen, 5, Counters(), payload, judged=judged
        )
        for _ in range(1 + again):
            assert self.real.dispatch([command]) == self.model.dispatch([command])

    @rule(tp=partitions, lane=lanes, payload=payloads, outcome=outcomes, ends=st.booleans(), again=st.booleans())
    def run_the_current_link(
        self, tp: TopicPartition, lane: int, payload: bytes | None, outcome: Outcome, ends: bool, again: bool
    ) -> None:
        self.run_the_current(tp, lane, payload, outcome, ends=ends, again=again)

    def run_the_current(
        self, tp: TopicPartition, lane: int, payload: bytes | None, outcome: Outcome, *, ends: bool, again: bool
    ) -> None:
        current = self.real.read([tp])[tp].lanes.get(lane, LaneEntry(lane))
        worker, nonce = current.claim or ("w1", "n1")
        handle = Handle.of(self.group, tp, lane, current.chain, current.link)
        assert self.real.claim(handle, worker, nonce) == self.model.claim(handle, worker, nonce)
        for _ in range(1 + again):
            answers = [
                ledger.complete(handle, worker, nonce, outcome)
                if ends or current.link == LINKS
                else ledger.advance(handle, nonce, payload)
                for ledger in self.both
            ]
            assert answers[0] == answers[1]

    # --- what happens to Redis ---------------------------------------------------------------------------------------

    @rule()
    def flush(self) -> None:
        self.client.flushdb()
        self.model.flush()

    @rule()
    def save(self) -> None:
        keys = list(self.client.scan_iter(f"lanebridge:{{{self.group}/*", count=1000))
        self.saved = {key: self.client.dump(key) for key in keys}, self.model.save()

    @precondition(lambda self: self.saved is not None)
    @rule()
    def roll_back(self) -> None:
        assert isinstance(self.saved, tuple)
        dumps, saved = self.saved
        self.client.flushdb()
        for key, dump in dumps.items():
            self.client.restore(key, 1_000_000, dump)
        self.model.roll_back(saved)

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def both_ledgers_read_the_same(self) -> None:
        found, expected = self.real.read(TPS), self.model.read(TPS)
        assert {tp: same(entry) for tp, entry in found.items()} == {tp: same(e) for tp, e in expected.items()}

    @invariant()
    def redis_holds_a_hash_for_each_partition_and_the_records_of_each_chain_in_flight(self) -> None:
        entries = self.real.read(TPS)
        handles = [
            Handle.of(self.group, tp, lane.lane, lane.chain, lane.link)
            for tp, entry in entries.items()
            for lane in entry.lanes.values()
            if lane.in_flight
        ]
        hashes = {Handle.of(self.group, tp, 0, "", 0).hash_key for tp, entry in entries.items() if entry.owner.number}
        keys = {key.decode() for key in self.client.scan_iter(f"lanebridge:{{{self.group}/*", count=1000)}
        assert keys == hashes | {handle.payload_key for handle in handles}

    @property
    def both(self) -> tuple[Ledger, LedgerModel]:
        return self.real, self.model

    def an_owner(self, data: st.DataObject) -> Owner:
        """Mostly one of the latest."""
        return data.draw(st.sampled_from(self.owners[-3:] + self.owners))


def same(entry: PartitionEntry) -> PartitionEntry:
    """The entry without the clock: of the time to publish, only whether there is one."""
    lanes = {
        number: replace(lane, publish_after_ms=bool(lane.publish_after_ms)) for number, lane in entry.lanes.items()
    }
    return replace(entry, lanes=lanes, now_ms=0)


@pytest.fixture(scope="module")
def machine(own_server: RedisServer) -> type[LedgerAgainstModel]:
    """The state machine, on a server that it may empty."""
    LedgerAgainstModel.server = own_server
    return LedgerAgainstModel


def test_the_server_does_what_the_model_does(machine: type[LedgerAgainstModel]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
