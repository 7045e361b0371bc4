"""The product broken on purpose: each mutation is a patch that the processes of a cell apply to themselves.

`FAULTS_MUTATION` names it, tests/faults/app.py applies it: bridges and workers alike load that app, so that all run
the same broken product. The cells named here must then break one of the rules named here: that something else fails, or
takes too long, does not show that the defect was seen. Defects of the core are those of the simulation;
the scripts are changed in their text, which makes them other scripts for Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha1

from bridge.ledger import script
from bridge.runtime.loop import Loop
from tests.simulation import mutations as simulated

#: the patches that are in force; one that nobody holds is undone at once
_held = ExitStack()


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, in a sentence; the cell that shows it; the rules (or promises) that it breaks there; the patch,
    which lasts as long as the process."""

    what: str
    cell: str
    breaks: frozenset[str]
    patch: Callable[[], object]

    def caught(self, violations: Iterable[str]) -> list[str]:
        """Those of the violations that show the defect: each begins with the rule that is broken."""
        return [text for text in violations if text.split(maxsplit=1)[0] in self.breaks]


def apply(name: str) -> None:
    """Break this process; nothing for the empty name."""
    if name:
        MUTATIONS[name].patch()


def _of_the_core(name: str, cell: str, breaks: str) -> Mutation:
    """A defect that the simulation knows, in a real bridge."""
    defect = simulated.MUTATIONS[name]
    return Mutation(defect.what, cell, frozenset(breaks.split()), lambda: _held.enter_context(defect.patch()))


def _of_a_script(what: str, name: str, old: str, new: str, cell: str, breaks: str) -> Mutation:
    """A script with `new` in the place of `old`, which must be there once."""

    def patch() -> None:
        found = next(known for known in script._known if known.name == name)
        assert found.text.count(old) == 1, f"{name}.lua has changed: {old!r} is not there once"
        found.text = found.text.replace(old, new)
        found._sha = sha1(found.text.encode(), usedforsecurity=False).hexdigest()

    return Mutation(what, cell, frozenset(breaks.split()), patch)


def _read_on() -> None:
    """After an exception out of the client the bridge goes on with what comes next."""
    Loop._seek_back = lambda loop, error: None  # type: ignore[method-assign,assignment]


MUTATIONS: dict[str, Mutation] = {
    "commit-highest": _of_the_core("commit-highest", "matrix-00-nothing", "R1 R2"),
    "commit-fetched": _of_the_core("commit-fetched", "matrix-00-nothing", "R1 R2"),
    "dispatch-early": _of_the_core("dispatch-early", "matrix-00-nothing", "R1 R2 R5 R14"),
    "ignore-operator-reset": _of_the_core("ignore-operator-reset", "offsets-reset", "P1"),
    "timeout-as-success": _of_the_core("timeout-as-success", "link-timeout-prefork", "P1"),
    "lost-notice-as-success": _of_the_core("lost-notice-as-success", "message-doubled-in-long-link", "P1"),
    "two-claims-of-one-link": _of_a_script(
        "A claim does not ask whether somebody else has claimed the link.",
        "claim",
        "if claim then return claim == ARGV[5] and '' or 'claimed' end",
        "",
        "matrix-22-slow-links-visibility",
        "R7",
    ),
    "no-seek-back": Mutation(
        "After an exception in fetch the bridge reads on behind the records that were in it.",
        "matrix-03-fetch-interrupted",
        frozenset({"R1", "R2", "R5", "R14"}),
        _read_on,
    ),
}
