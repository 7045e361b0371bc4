"""What figures are meant to reach, for the report to print beside them. Nothing is asserted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """The median of a case's figure is to be at least, or at most, so much (None: no such bound)."""

    case: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def is_reached(self, value: float) -> bool:
        """Whether a value is good enough."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bounds = [
            *([] if self.at_least is None else [f"at least {self.at_least:,g}"]),
            *([] if self.at_most is None else [f"at most {self.at_most:,g}"]),
        ]
        return ", ".join(bounds)
