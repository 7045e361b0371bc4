"""What the meters of simulated bridges have counted, against what has truly happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from bridge.core.bridge import Core
from bridge.core.effects import Effect
from bridge.core.events import Event
from bridge.ops.metering import SKIPPED, Meter
from bridge.ops.totals import Totals
from tests.simulation.history import History
from tests.simulation.ledger import Ledger
from tests.simulation.truth import Truth
from tests.simulation.world import World

GROUP_FAULTS = frozenset(["kill", "leave", "move", "freeze", "pause", "grow"])
SEEDS = range(6)

#: what loses nothing of Redis and begins no partition anew: then every record is finished once
MIXES = (
    "calm",
    "keys",
    "noise",
    "workers",
    "reject",
    "given up",
    "unnamed",
    "hooks",
    "undecodable",
    "pauses and requests",
)


@contextmanager
def _metered() -> Iterator[dict[int, tuple[Core, Meter]]]:
    """Every core of the simulation has a meter."""
    found: dict[int, tuple[Core, Meter]] = {}
    handle = Core.handle

    def watched(core: Core, event: Event, now: float) -> list[Effect]:
        effects = handle(core, event, now)
        found.setdefault(id(core), (core, Meter(lambda: 0.0)))[1].observe(event, effects, now)
        return effects

    with patch.object(Core, "handle", watched):
        yield found


def _tell(history: History) -> tuple[Truth, list[Totals]]:
    with _metered() as meters:
        world = World(history.seed, history.rules, Ledger)
        world.run()
    return world.truth, [meter.totals() for _, meter in meters.values()]


def _letters(totals: list[Totals]) -> int:
    return sum(count for each in totals for kind, count in each.disposed.items() if kind != SKIPPED)


@pytest.mark.parametrize("mix", MIXES)
def test_a_bridge_that_keeps_its_partitions_counts_every_record_once(mix: str) -> None:
    for seed in SEEDS:
        truth, totals = _tell(History(mix, seed, bridges=1, without=GROUP_FAULTS))
        assert sum(each.finished for each in totals) == sum(map(len, truth.finished.values())) > 0
        assert _letters(totals) == len(truth.letters)  # one whose answer was lost is written again
        assert sum(each.letters_pending for each in totals) == 0


@pytest.mark.parametrize("mix", ["noise", "group", "reject", "given up"])
def test_bridges_that_hand_over_count_no_record_twice(mix: str) -> None:
    for seed in SEEDS:
        truth, totals = _tell(History(mix, seed))
        finished = sum(map(len, truth.finished.values()))
        assert 0 < sum(each.finished for each in totals) <= finished
