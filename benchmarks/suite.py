"""All cases there are. A module of cases exports CASES and is named here, once."""

from __future__ import annotations

from benchmarks import comparison, latency, throughput
from benchmarks.case import Case

MODULES = (throughput, comparison, latency)


def all_cases() -> tuple[Case, ...]:
    """In the order of the modules."""
    return tuple(case for module in MODULES for case in module.CASES)
