"""The rules that every history of the fault matrix keeps, R1 to R14, as pure functions; test_rules.py breaks each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.faults import rules_commits as commits
from tests.faults import rules_repeats as repeats
from tests.faults import rules_running as running
from tests.faults import rules_tasks as tasks
from tests.faults.claims import Claims
from tests.faults.finished import Finished
from tests.faults.history import History

Rule = Callable[[History, Claims, Finished], Iterator[str]]

RULES: dict[str, Rule] = {
    "R1": tasks.lost,
    "R2": commits.too_early,
    "R3": commits.backward,
    "R4": commits.not_owner,
    "R5": tasks.out_of_order,
    "R6": tasks.wrong_replays,
    "R7": tasks.overlapping,
    "R8": repeats.repeated,
    "R9": running.stuck,
    "R10": running.too_large,
    "R11": running.dishonest,
    "R12": running.ended_badly,
    "R13": tasks.changed,
    "R14": tasks.skipped,
}

#: how many breaches of one rule are told
SHOWN = 5


def counts(history: History, claims: Claims) -> dict[str, int]:
    """For the published table: records that are lost, that ran again (also where that is excused), and breaches of the
    rules about order and overlap."""
    finished = Finished(history, claims)
    lost = sum(
        (*tp, offset) not in finished.at for tp, all_of in finished.partitions.items() for offset in all_of.offsets
    )
    broken = [text for name in ("R5", "R6", "R7") for text in RULES[name](history, claims, finished)]
    return {"lost": lost, "repeated": repeats.ran_again(history, claims), "order and overlap": len(broken)}


def violations(history: History, claims: Claims) -> list[str]:
    """What breaks a rule, in words, each beginning with the rule's name: the first few of each; empty when none."""
    finished = Finished(history, claims)
    return [text for name, rule in RULES.items() for text in _first(name, list(rule(history, claims, finished)))]


def _first(name: str, found: list[str]) -> list[str]:
    rest = len(found) - SHOWN
    return [*found[:SHOWN], f"{name} and {rest} more"] if rest > 0 else found
