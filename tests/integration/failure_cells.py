"""The cells of the failure table: which kind of task fails, at which record of its batch, in which way, in which order
and in which link of a chain. Known to the app and to the test; what must come of a cell is failure_model's to say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Literal

#: batches of a lane, of so many records; one record of the second batch is bad
BATCH_SIZE, BATCHES = 5, 3
RECORDS = BATCH_SIZE * BATCHES

#: index of the bad record in its batch
POSITIONS = {"first": 0, "middle": BATCH_SIZE // 2, "last": BATCH_SIZE - 1}

#: how the bad record fails; `final` is an exception that the pipeline does not try again
WAYS = ("once", "always", "final")

#: two keys that belong to different lanes, of two
KEYS = (b"a", b"g")

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """A pipeline. `kind` is what its failing link, number `at` of `links`, does: a RecordTask (`record`) raises, a
    BatchTask raises without saying at which record (`batch`), raises RecordFailed (`named`), or uses batch.fail
    (`rejects`)."""

    kind: str
    order: Literal["partition", "key"]
    links: int
    at: int

    @property
    def name(self) -> str:
        """What the end of its topic's name is."""
        return f"{self.kind}-{self.order}-{self.at}-of-{self.links}"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """One per partition."""
        ways = ("always",) if self.kind == "rejects" else WAYS
        pairs = enumerate(product(POSITIONS, ways))
        return tuple(Cell(self, number, position, way) for number, (position, way) in pairs)

    def is_record_task(self, link: int) -> bool:
        """Links that do not fail are RecordTasks and BatchTasks in turn."""
        return self.kind == "record" if link == self.at else link % 2 == 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One partition. In key order two lanes take turns with its records, and the lane of the first has the bad one."""

    shape: Shape
    partition: int
    position: str
    way: str

    def __str__(self) -> str:
        return f"{self.shape.name}-{self.position}-{self.way}"

    @property
    def lanes(self) -> int:
        """How many lanes have records."""
        return len(KEYS) if self.shape.order == "key" else 1

    @property
    def bad(self) -> int:
        """The bad record's offset."""
        return self.lanes * (BATCH_SIZE + POSITIONS[self.position])

    @property
    def is_gated(self) -> bool:
        """Its second attempt waits until somebody lets it go. Each that waits takes a process of the worker."""
        return self.way == "once" and (self.shape.at, self.shape.links) == PLACES[-1]

    @property
    def records(self) -> list[tuple[bytes | None, bytes]]:
        """Key and value of each record, in offset order. The value says how it fails."""
        count = self.lanes * RECORDS
        keys = [KEYS[offset % 2] if self.lanes > 1 else None for offset in range(count)]
        fails = [
            "" if offset != self.bad else f"{self.way} gated" if self.is_gated else self.way for offset in range(count)
        ]
        values = [json.dumps({"offset": offset, "fails": fails[offset]}).encode() for offset in range(count)]
        return list(zip(keys, values, strict=True))


#: of lanes
ORDERS: tuple[Literal["partition", "key"], ...] = ("partition", "key")

#: link number, of how many
PLACES = ((1, 1), (2, 2), (2, 3))

#: the table
MAIN = tuple(Shape(kind, order, links, at) for kind, order, (at, links) in product(("record", "batch"), ORDERS, PLACES))
#: what else a BatchTask can do, RecordFailed and batch.fail; and the first and the last link of three
MORE = (
    *(Shape(kind, order, 3, 2) for kind, order in product(("named", "rejects"), ORDERS)),
    *(Shape(kind, "partition", 3, at) for kind, at in product(("record", "batch"), (1, 3))),
)
SHAPES = (*MAIN, *MORE)
CELLS = tuple(cell for shape in SHAPES for cell in shape.cells)
