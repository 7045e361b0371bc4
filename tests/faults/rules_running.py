"""How the processes did: on again after a fault (R9), within their memory (R10), honest (R11), ended well (R12)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.claims import Claims
from tests.faults.events import Exited, Fault, Health, Killed, Letters, Sample
from tests.faults.finished import NEVER, Finished
from tests.faults.history import History
from tests.faults.places import Place

#: bytes of a bridge's process beyond its budget, and seconds within which a bridge must have noticed a fault
BEYOND_BUDGET = 64 * 2**20
NOTICED_WITHIN = 15.0
#: what an HTTP status says: it answered, and it is ready
NO_ANSWER, READY = 0, 200


def stuck(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R9: after a fault something is finished within `claims.liveness` seconds, if work was left."""
    times = [run.ended for run in history.runs if run.ended is not None and run.succeeded]
    times += [said.at for said in history.bridges if isinstance(said, Letters)]
    for fault in [said for said in history.injected if isinstance(said, Fault) and not said.on]:
        until = fault.at + claims.liveness
        if _is_faulty(history, fault.at, until) or not _work_left(history, finished, fault.at):
            continue
        first = min((at for at in times if at > fault.at), default=NEVER)
        if first > until:
            text = "nothing was finished" if first == NEVER else f"nothing for {first - fault.at:.1f} s"
            yield f"R9 liveness: {text} after {fault.name} was over at {fault.at:.3f}"


def _is_faulty(history: History, begin: float, end: float) -> bool:
    """Another fault is on, or begins, in this time."""
    on: dict[str, int] = defaultdict(int)
    for said in history.injected:
        if isinstance(said, Fault):
            if said.at > begin and (said.at >= end or any(on.values())):
                break
            on[said.name] += 1 if said.on else -1
    return any(on.values())


def _work_left(history: History, finished: Finished, at: float) -> bool:
    """A record was neither finished nor under way."""
    under_way: set[Place] = {
        (*run.tp, offset) for run in history.runs if run.begin < at < (run.ended or NEVER) for offset in run.offsets
    }
    return any(
        finished.at.get((*tp, offset), NEVER) > at
        for tp, offsets in finished.partitions.items()
        for offset in offsets.offsets
        if (*tp, offset) not in under_way
    )


def too_large(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R10: a bridge's resident memory, which somebody has looked at, stays below its budget and 64 MiB."""
    if claims.memory is None:
        return
    largest: dict[int, int] = defaultdict(int)
    for said in history.samples:
        if isinstance(said, Sample):
            largest[said.bridge] = max(said.rss, largest[said.bridge])
    if not largest:
        yield "R10 memory: nobody has looked at a bridge"
    for bridge, rss in largest.items():
        if rss > claims.memory + BEYOND_BUDGET:
            yield f"R10 memory: bridge {bridge} took {rss / 2**20:.0f} MiB, budget {claims.memory / 2**20:.0f} MiB"


def dishonest(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R11: a bridge says that it is not ready while a fault blocks it for longer than 15 s, and that it is ready again
    afterwards."""
    health = [said for said in history.samples if isinstance(said, Health) and said.code != NO_ANSWER]
    over = None
    for name, begin, end in _blocked(history, claims):
        over = end
        said = [each.code for each in health if begin < each.at < end]
        if end - begin > NOTICED_WITHIN and READY in said and all(code == READY for code in said):
            yield f"R11 health: every bridge was ready all the time while {name} blocked for {end - begin:.0f} s"
    if over is None:
        return
    killed = {pid for said in history.injected if isinstance(said, Killed) for pid in said.pids}
    after = [each for each in health if each.at > over and each.bridge not in killed]
    for bridge in sorted({each.bridge for each in after} - {each.bridge for each in after if each.code == READY}):
        reasons = next(each.reasons for each in reversed(after) if each.bridge == bridge)
        yield f"R11 health: bridge {bridge} was never ready again: {', '.join(reasons)}"


def _blocked(history: History, claims: Claims) -> Iterator[tuple[str, float, float]]:
    began: dict[str, float] = {}
    for said in history.injected:
        if isinstance(said, Fault) and said.name in claims.blocks:
            if said.on:
                began.setdefault(said.name, said.at)
            elif said.name in began:
                yield said.name, began.pop(said.name), said.at


def ended_badly(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R12: who was not killed ends with the exit code that is claimed, 0 unless said, and in time."""
    killed = {said.who for said in history.injected if isinstance(said, Killed)}
    for said in history.samples:
        if not isinstance(said, Exited) or (said.code == -9 and said.who in killed):
            continue
        wanted = claims.exits.get(said.who, 0)
        if said.code != wanted:
            yield f"R12 exit: {said.who} ended with {said.code} instead of {wanted}"
        if said.seconds > claims.exit_seconds:
            yield f"R12 exit: {said.who} took {said.seconds:.1f} s to end, at most {claims.exit_seconds:g} s"
