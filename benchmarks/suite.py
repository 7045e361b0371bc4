"""All cases there are, and what they are meant to reach. A module of cases exports CASES and GOALS and is named here,
once."""

from __future__ import annotations

from benchmarks import behaviour, comparison, keys, latency, throughput
from benchmarks.case import Case
from benchmarks.goals import Goal

MODULES = (throughput, comparison, latency, keys, behaviour)


def all_cases() -> tuple[Case, ...]:
    """In the order of the modules."""
    return tuple(case for module in MODULES for case in module.CASES)


def all_goals() -> tuple[Goal, ...]:
    """In the order of the modules."""
    return tuple(goal for module in MODULES for goal in module.GOALS)
