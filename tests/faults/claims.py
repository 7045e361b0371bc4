"""What a row of the fault matrix claims about its history; the rules (rules.py) hold it to that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.places import Partition, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """`links`: the pipeline's, in order (an on_failed task is none). `repeats`: so many finished records may run again,
    `overlaps`: so many pairs of runs of one lane may overlap. `letters`: the records that get a dead letter, and
    `undecodable` those of them that no task is given: their chain leaves them out. `ends`: what must be committed at
    the end.

    `memory`: the budget of a bridge in bytes (None: not looked at). `liveness`: seconds until something succeeds after
    a fault. `blocks`: the faults during which a bridge must say that it is not ready. `exits`: who ends with another
    code than 0; `exit_seconds`: how long any end may take.
    """

    links: Sequence[str] = ("link1",)
    repeats: int = 0
    overlaps: int = 0
    letters: Collection[Place] = ()
    undecodable: Collection[Place] = ()
    ends: Mapping[Partition, int] = field(default_factory=dict)
    memory: int | None = None
    liveness: float = 30.0
    blocks: Collection[str] = ()
    exits: Mapping[str, int] = field(default_factory=dict)
    exit_seconds: float = 30.0
