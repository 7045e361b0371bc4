"""One history: what it is made of, how it ended, and the command that tells it again."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from traceback import extract_tb, format_exception

from tests.simulation.covering import Tally, counting
from tests.simulation.ledger import Ledger
from tests.simulation.mixes import MIXES, Mix
from tests.simulation.mutations import MUTATIONS
from tests.simulation.truth import Violation
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class History:
    """A mix and a seed. `without` drops kinds of fault of the mix; what is None is as the mix says; `mutation` is a
    defect that is put into the core or the ledger."""

    mix: str
    seed: int
    mutation: str = ""
    without: frozenset[str] = frozenset()
    chaos: float | None = None
    bridges: int | None = None
    partitions: int | None = None

    @property
    def rules(self) -> Mix:
        """The mix, with what this history has different."""
        mix = MIXES[self.mix]
        return replace(
            mix,
            faults=mix.faults - self.without,
            chaos=mix.chaos if self.chaos is None else self.chaos,
            bridges=self.bridges or mix.bridges,
            partitions=self.partitions or mix.partitions,
        )

    @property
    def command(self) -> str:
        """One line for a shell."""
        words = ["./run", "simulate", "--mix", self.mix, "--seed", str(self.seed)]
        if self.mutation:
            words += ["--mutation", self.mutation]
        for kind in sorted(self.without):
            words += ["--without", kind]
        for option in ("chaos", "bridges", "partitions"):
            value = getattr(self, option)
            if value is not None:
                words += [f"--{option}", str(value)]
        return shlex.join([*words, "--trace"])


@dataclass(frozen=True, slots=True)
class Ending:
    """How a history ended. `violation` is "" when every promise was kept; a defect of the core may also raise."""

    history: History
    steps: int = 0
    tally: Tally = field(default_factory=Counter)
    violation: str = ""

    @property
    def promise(self) -> str:
        """What was broken: "P1", ..., or what stands before the colon of another finding; "" nothing."""
        return self.violation.partition(":")[0]


def tell(history: History, trace: list[str] | None = None) -> Ending:
    """Let it happen, with its mutation. Whatever is raised ends it: a Violation, or an error of the core itself."""
    mutation = MUTATIONS[history.mutation] if history.mutation else None
    ledger = mutation.ledger if mutation is not None else Ledger
    world, violation = None, ""
    with mutation.patch() if mutation is not None else nullcontext(), counting() as tally:
        try:
            world = World(history.seed, history.rules, ledger, trace=trace)
            world.run()
        except Violation as broken:
            violation = str(broken)
        except Exception as error:  # noqa: BLE001 - the code under test may raise anything, all of it is a finding
            violation = f"{type(error).__name__} in {extract_tb(error.__traceback__)[-1].name}: {error}"
            if trace is not None:
                trace.extend(format_exception(error))
    return Ending(history, world.steps if world is not None else 0, tally, violation)
