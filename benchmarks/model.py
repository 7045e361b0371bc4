"""The model of what a record costs: us per record = a + b / batch size, where a is what each record costs and b what
each batch does; fitted to the measurements by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """`a`: microseconds of a record, `b`: of a batch."""

    a: float
    b: float

    def at(self, batch: float) -> float:
        """Microseconds of a record at this batch size."""
        return self.a + self.b / batch

    def worst_error(self, points: Sequence[tuple[float, float]]) -> float:
        """The largest distance of a point, as a share of it."""
        return max(abs(self.at(batch) - us) / us for batch, us in points)


def fit(points: Sequence[tuple[float, float]]) -> Model:
    """The model that fits points (batch size, us) best, by the squares of relative errors: each point counts the same,
    cheap as it may be. Raises ValueError with fewer than two batch sizes."""
    if len({batch for batch, _ in points}) < 2:
        raise ValueError("a model of two numbers needs two batch sizes")
    # with weights 1/us each point is the row (1/us) * a + (1/(batch*us)) * b = 1
    rows = [(1 / us, 1 / (batch * us)) for batch, us in points]
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    one, other = sum(row[0] for row in rows), sum(row[1] for row in rows)
    determinant = aa * bb - ab * ab
    return Model((one * bb - other * ab) / determinant, (other * aa - one * ab) / determinant)
