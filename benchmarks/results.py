"""What reports and plots ask of kept windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.kept import Window, counted
from benchmarks.tables import Spread, spread_of


@dataclass(frozen=True, slots=True)
class Results:
    """All windows that are kept; of each case those count that `counted` gives."""

    windows: Sequence[Window]

    def of(self, case: str) -> list[Window]:
        """The windows of a case that count."""
        return counted(self.windows, case)

    def spread(self, case: str, figure: str) -> Spread | None:
        """Median, least and most of a figure; None where it was not measured."""
        return spread_of(self.of(case), figure)

    def median(self, case: str, figure: str) -> float:
        """Its median. Raises LookupError where it was not measured."""
        spread = self.spread(case, figure)
        if spread is None:
            raise LookupError(f"{figure} of {case} was not measured")
        return spread.middle

    def measured(self, cases: Iterable[str]) -> list[str]:
        """Those of the cases that have windows."""
        return [case for case in cases if self.of(case)]
