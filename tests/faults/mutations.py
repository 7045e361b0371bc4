"""The product broken on purpose: each mutation is a patch that the processes of a cell apply to themselves.

`FAULTS_MUTATION` names it, tests/faults/app.py applies it: bridges and workers alike load that app, so that
both run the same broken product. The cells named here must then be violated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken, in a sentence; the cells that show it; the patch."""

    what: str
    cells: tuple[str, ...]
    patch: Callable[[], None]


MUTATIONS: dict[str, Mutation] = {}


def apply(name: str) -> None:
    """Break this process; nothing for the empty name."""
    if name:
        MUTATIONS[name].patch()
