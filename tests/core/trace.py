"""The life of one partition, step by step, as the real core lives it: `python -m tests.core.trace` prints it.

`python -m tests.core.trace --write` puts it into docs/architecture.md, between the markers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.commits import write_metadata
from bridge.entries import Heartbeat
from bridge.records import PipelineRules, TopicPartition
from tests.core.bench import Bench, row

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- trace -->", "<!-- /trace -->"

TP = TopicPartition("orders", 0)
RULES = PipelineRules("orders", tasks=("parse", "store"), batch_size=3, batch_timeout=0.2)


class Traced(Bench):
    """A bench that takes one step at a time and writes down what it saw."""

    def __init__(self, *, beside: Bench | None = None, name: str) -> None:
        super().__init__(RULES, beside=beside, name=name)
        self.lines: list[str] = []
        self.begun = self.now

    def step(self, event: ev.Event, what: str, *, after: float = 0.004) -> None:
        """The event, what it means, what the core wants, and how it stands afterwards. Nothing is carried out yet."""
        self._read_ledger()
        self.now += after
        effects = self.core.handle(event, self.now)
        self.kept.extend(effects)
        wanted = ", ".join(filter(None, map(_effect, effects))) or "-"
        number, at = len(self.lines) + 1, self.now - self.begun
        self.lines.append(f"{number:>2} {at:6.3f}  {what:<49}  {wanted:<17}  {self._standing()}")

    def _read_ledger(self) -> None:
        """Readings find nothing new here; the one that does is a step of its own."""
        readings = [effect for effect in self.kept if isinstance(effect, ef.ReadLanes)]
        self.kept = [effect for effect in self.kept if not isinstance(effect, ef.ReadLanes)]
        for effect in readings:
            for event in self._answers(effect):
                self.kept.extend(self.core.handle(event, self.now))

    def _standing(self) -> str:
        partition = self.core.partitions.get(TP)
        if partition is None:
            return "gone"
        if not partition.lanes:
            return partition.stage.name.lower()
        lane = partition.lanes[0]
        return f"{lane.phase.value:<11}  {lane.watermark:>9}  {partition.position:>8}  {partition.confirmed:>9}"

    def answered(self, what: str, *, after: float = 0.004) -> None:
        """The last effect that wants an answer gets it."""
        answers = (ef.AskKafka, ef.AssignOwner, ef.Restore, ef.Dispatch, ef.Commit)
        effect = next(effect for effect in reversed(self.kept) if isinstance(effect, answers))
        self.kept.remove(effect)
        (event,) = self._answers(effect)
        self.step(event, what, after=after)


def _effect(effect: ef.Effect) -> str:
    match effect:
        case ef.Report() | ef.ReadLanes():
            return ""
        case ef.StartFetching(_, offset):
            return f"StartFetching {offset}"
        case ef.Commit(entries):
            return f"Commit {entries[TP].offset}"
        case ef.Dispatch():
            return f"Dispatch {effect.chain.first}..{effect.chain.last}"
    return type(effect).__name__


def _old_owner() -> Bench:
    """Another bridge has left a chain in flight: a worker runs its second link."""
    old = Bench(RULES, name="b1")
    old.broker.committed[TP] = (100, write_metadata(40, "id-1"))
    old.assign(TP)
    old.handle(ev.Fetched(TP, [row(offset) for offset in (100, 101, 102)]))
    old.claim(worker="w1", tp=TP)
    old.advance(tp=TP)
    old.claim(worker="w1", tp=TP)
    old.handle(ev.Revoked((TP,)))
    return old


def trace() -> list[str]:
    """The lines."""
    bench = Traced(beside=_old_owner(), name="b2")
    _take_over(bench)
    _adopted_chain_ends(bench)
    _own_chain(bench)
    bench.step(ev.Revoked((TP,)), "revoked: nothing to wait for, nothing to commit")
    return bench.lines


def _take_over(bench: Traced) -> None:
    bench.step(ev.Assigned((TP,)), "assigned: the group gives us orders[0]")
    bench.answered("Kafka: 100 is committed, by owner 101")
    bench.answered("owner: the ledger draws 102 and shows one chain")
    bench.answered("checked: Kafka says the same again: start at 100")
    bench.answered("confirmed: the broker has taken 100, owner 102")
    bench.answered("restored: the ledger knows it; adopted: 100..102")


def _adopted_chain_ends(bench: Traced) -> None:
    received = [row(offset) for offset in (100, 101, 102, 103, 105)]
    bench.step(ev.Fetched(TP, received), "received: 100..102 of that chain, then 103, 105")
    bench.complete(tp=TP, heard=False)
    bench.step(_outcome(bench), "outcome of the adopted chain: ok", after=0.05)
    bench.answered("confirmed: 103")


def _own_chain(bench: Traced) -> None:
    bench.step(ev.Tick(), "batch closed by timeout: 103, 105", after=0.2)
    bench.answered("dispatched: the ledger has taken it")
    bench.claim(worker="w2", tp=TP)
    bench.beats = (Heartbeat("w2", "host", "prefork", ("lane-0",), ("parse", "store"), ()),)
    bench.now += 1.0
    bench.kept.extend(bench.core.handle(ev.Tick(), bench.now))
    (reading,) = [effect for effect in bench.kept if isinstance(effect, ef.ReadLanes)]
    bench.kept.remove(reading)
    (event,) = bench._answers(reading)
    bench.step(event, "claimed: the sweep sees that w2 runs link 1")
    bench.advance(tp=TP)
    bench.claim(worker="w1", tp=TP)
    bench.complete(tp=TP, heard=False)
    bench.step(_outcome(bench), "outcome: ok, both links have run", after=0.05)
    bench.answered("confirmed: 106")
    bench.step(ev.EndOfLog(TP, 107), "end of the log, behind a control marker at 106")
    bench.answered("confirmed: 107")


def _outcome(bench: Bench) -> ev.OutcomeHeard:
    entry = bench.ledger.read([TP])[TP].lanes[0]
    assert entry.outcome is not None
    return ev.OutcomeHeard(TP, 0, entry.seen, entry.outcome)


def block() -> str:
    """The trace as it stands in the page."""
    head = (
        f"{'':>2} {'s':>6}  {'what happens':<49}  {'the core wants':<17}  {'lane':<11}  watermark  position  confirmed"
    )
    return "\n".join((BEGIN, "", "```text", head, *trace(), "```", "", END))


def renewed(page: str) -> str:
    """The page with the trace as it is today."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{block()}{rest.partition(END)[2]}"


def main() -> None:
    """Print it, or write it into the page."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(block())


if __name__ == "__main__":
    main()
