"""A pipeline's chain gets longer or shorter between two starts, with chains of the old length in the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.commits import write_metadata
from bridge.entries import Claim, LaneEntry, Outcome, Owner, PartitionEntry, Seen
from bridge.records import PipelineRules, Row, TopicPartition

TP = TopicPartition("t", 0)
OLD = LaneEntry(0, watermark=0, chain="old", first=0, last=1, link=3, links=3, seen=Seen("old", 3))


def _row(offset: int) -> Row:
    return (offset, 0, None, b"x", ())


def _started(lane: LaneEntry, links: int) -> tuple[Core, list[ef.Effect]]:
    """A core that owns t[0] from offset 0 on, has found `lane` and has read its two records again."""
    tasks = tuple(f"task{number}" for number in range(links))
    core = Core(CoreConfig("g", lambda topic: PipelineRules("t", tasks), lambda tp, lane, link: "lane-0"))
    facts = ev.KafkaAnswered(TP, 1, 0, write_metadata(1, "id"), topic_id="id", log_start=0, log_end=2)
    entry = PartitionEntry(Owner(7, "b"), base=0, rule="partition", topic_id="id", lanes={0: lane})
    events: list[ev.Event] = [
        ev.Assigned((TP,)),
        facts,
        ev.OwnerAssigned(TP, 1, entry),
        facts,
        ev.CommitAnswered({TP: (1, 0, ev.CommitAnswer.OK, "")}),
        ev.Restored(TP, 1, accepted=True),
        ev.Fetched(TP, [_row(0), _row(1)]),
    ]
    return core, [effect for event in events for effect in core.handle(event, 1.0)]


@pytest.mark.parametrize("links", [1, 2, 4])
def test_a_chain_of_another_length_that_nobody_runs_is_replaced(links: int) -> None:
    _, effects = _started(OLD, links)
    assert not [effect for effect in effects if isinstance(effect, ef.PublishLink)]
    [dispatch] = [effect for effect in effects if isinstance(effect, ef.Dispatch)]
    assert (dispatch.expect, dispatch.links, [row[0] for row in dispatch.rows]) == (Seen("old", 3), links, [0, 1])


def test_a_chain_of_the_same_length_is_published_again() -> None:
    _, effects = _started(OLD, 3)
    assert [effect.link for effect in effects if isinstance(effect, ef.PublishLink)] == [3]
    assert not [effect for effect in effects if isinstance(effect, ef.Dispatch)]


def test_a_chain_of_another_length_that_somebody_runs_is_waited_for_and_its_outcome_counts() -> None:
    claimed = replace(OLD, claim=Claim("w", "n"), seen=Seen("old", 3, "w n"))
    core, effects = _started(claimed, 2)
    assert not [effect for effect in effects if isinstance(effect, ef.Dispatch | ef.PublishLink)]
    core.handle(ev.OutcomeHeard(TP, 0, Seen("old", 3, "w n", b"ok"), Outcome("ok", 2)), 2.0)
    assert core.partitions[TP].position == 2
