"""What others make of the same topic with the same nothing to do: the bare client, Kafka and Celery put together by
hand, other frameworks; and Lanebridge beside them, window by window in turn. Who is slow gets fewer records.

All commit after each batch, except arroyo-second. None of the others has workers of its own except the hand-written
loops, which get two as Lanebridge does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.case import Case, Shape
from benchmarks.environment import python
from benchmarks.goals import Goal
from benchmarks.measuring import Running, watched
from benchmarks.seen import Seen
from benchmarks.stack import SOLO, TOPIC, Stack

_BACKLOG = Shape()


def other(
    command: Callable[[], Sequence[str]],
    batch: int,
    records: int,
    env: Mapping[str, str],
    workers: int,
    stack: Stack,
    number: int,
) -> Mapping[str, float]:
    """One window of something else that consumes: it counts as the bridge, `workers` of the hand-written app as the
    workers. Raises WrongRun."""
    program = command()
    group = f"other-{number}"
    path = stack.folder / f"{group}.seen"
    seen = Seen.create(path)
    given = {
        "MEASURED_SERVERS": stack.kafka.bootstrap_servers,
        "MEASURED_GROUP": group,
        "MEASURED_TOPIC": TOPIC,
        "MEASURED_BATCH": str(batch),
        "MEASURED_SEEN": str(path),
        **env,
    }
    started = [
        stack.start("celery", "-A", "benchmarks.naive", "worker", "-n", f"naive{index}@%h", *SOLO, **given)
        for index in range(workers)
    ]
    return watched(stack, Running(group, seen, [stack.start(*program, **given)], started), records, ours=False)


def _ours(*arguments: str) -> Callable[[], Sequence[str]]:
    return lambda: ("python", "-m", *arguments)


def _theirs(module: str) -> Callable[[], Sequence[str]]:
    return lambda: (str(python()), "-m", f"benchmarks.frameworks.{module}")


def _case(
    name: str,
    command: Callable[[], Sequence[str]],
    batch: int,
    records: int,
    *,
    workers: int = 0,
    env: Mapping[str, str] | None = None,
) -> Case:
    run = partial(other, command, batch, records, env or {}, workers)
    return Case(f"comparison/{name}", _BACKLOG, run, windows=3, seconds=12.0)


_BARE = Case(
    "comparison/bare", _BACKLOG, partial(other, _ours("benchmarks.bare"), 1000, 0, {}, 0), quick=3, seconds=5.0
)
_RECORD, _BATCH = _ours("benchmarks.naive", "record"), _ours("benchmarks.naive", "batch")
_FASTSTREAM, _ARROYO = _theirs("faststream_batches"), _theirs("arroyo_batches")

CASES = (
    _BARE,
    _case("naive-record", _RECORD, 100, 6_000, workers=2),
    _case("naive-batch-100", _BATCH, 100, 200_000, workers=2),
    _case("naive-batch-1000", _BATCH, 1000, 500_000, workers=2),
    _case("faststream-100", _FASTSTREAM, 100, 1_000_000),
    _case("faststream-1000", _FASTSTREAM, 1000, 1_000_000),
    _case("arroyo-100", _ARROYO, 100, 1_000_000, env={"MEASURED_COMMITS": "batch"}),
    _case("arroyo-1000", _ARROYO, 1000, 1_000_000, env={"MEASURED_COMMITS": "batch"}),
    _case("arroyo-100-second", _ARROYO, 100, 1_000_000, env={"MEASURED_COMMITS": "second"}),
)

#: others have none here
GOALS: tuple[Goal, ...] = ()
