"""Groups as bridges would publish them: quiet, in trouble, large, hostile."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from bridge.ops.state import Bridge, InFlight, Lane, Partition, State
from bridge.ops.totals import SECONDS_BOUNDS, SIZE_BOUNDS, Distribution, Rebalance, Totals

TRACEBACK = """Traceback (most recent call last):
  File "/app/orders/tasks.py", line 41, in store
    session.execute(INSERT, rows)
  File "/app/orders/database.py", line 18, in execute
    raise IntegrityError(constraint)
sqlalchemy.exc.IntegrityError: check constraint amount_positive is violated
"""


def lane(topic: str = "orders", partition: int = 0, number: int = 0, **changes: Any) -> Lane:
    """An idle lane but for `changes`."""
    given: dict[str, Any] = {
        "queue": f"lane-{partition % 16}",
        "owner": "bridge-a",
        "state": "idle",
        "reason": "waiting for records from offset 1000 on",
        "committed": 1000,
        "position": 1000,
        "fetched": 1000,
        "end": 1000,
        "lag": 0,
        "lag_seconds": 0.0,
        "buffered": 0,
        "attempt": 0,
        "in_flight": None,
        "last_error": None,
        "max_attempts": 5,
        **changes,
    }
    return Lane(topic=topic, partition=partition, lane=number, **given)


def _with(changes: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {**defaults, **changes}


def running(topic: str = "orders", partition: int = 0, age: float = 0.4, **changes: Any) -> Lane:
    """A lane with a chain under way."""
    at = 1000 + partition * 37
    chain = f"{changes.pop('group', 'shop')}.{topic}-{partition}.{at}-{at + 99}.1795515884-{partition + 3}"
    return lane(
        topic,
        partition,
        **_with(
            changes,
            state="running",
            reason=f"link 2 of 2 (orders.store) has been running on worker-{partition % 3}@host for {age:.1f} s",
            committed=at - 60,
            position=at,
            fetched=at + 260,
            end=at + 260 + partition * 90,
            lag=320 + partition * 90,
            lag_seconds=age,
            buffered=160,
            attempt=1,
            first_unfinished=at,
            in_flight=InFlight(chain, 2, f"worker-{partition % 3}@host", age),
        ),
    )


def stopped(topic: str = "orders", partition: int = 7, **changes: Any) -> Lane:
    """A lane that waits for a person."""
    return lane(
        topic,
        partition,
        **_with(
            changes,
            state="stopped",
            reason="stopped 12 min ago: offset 4711 in orders.store, out of attempts (5): IntegrityError: check "
            "constraint amount_positive is violated; nothing from offset 4711 on is committed, other lanes go on, "
            "this one waits for a person",
            committed=4711,
            position=4711,
            fetched=5200,
            end=9130,
            lag=4419,
            lag_seconds=731.0,
            buffered=489,
            attempt=5,
            first_unfinished=4711,
            at_stake=(4711,),
            last_error="IntegrityError: check constraint amount_positive is violated",
            traceback=TRACEBACK,
        ),
    )


def stalled(topic: str = "payments", partition: int = 2, **changes: Any) -> Lane:
    """A lane that goes on by itself when something outside changes."""
    return lane(
        topic,
        partition,
        **_with(
            changes,
            state="stalled",
            reason="no worker consumes lane-2; link 1 of 2 (payments.parse) was dispatched 3 min ago, it goes on by "
            "itself as soon as that changes",
            committed=310,
            position=310,
            fetched=420,
            end=512,
            lag=202,
            lag_seconds=185.0,
            buffered=110,
            attempt=1,
            first_unfinished=310,
            in_flight=InFlight(f"shop.{topic}-{partition}.310-409.1795515884-9", 1, None, 184.0),
        ),
    )


def retrying(topic: str = "orders", partition: int = 4, **changes: Any) -> Lane:
    """A lane between two attempts."""
    return lane(
        topic,
        partition,
        **_with(
            changes,
            state="retrying",
            reason="attempt 2 of 5 failed at offset 2204 in orders.store: OperationalError: connection refused; "
            "next attempt in 3.2 s",
            committed=2204,
            position=2204,
            fetched=2400,
            end=2410,
            lag=206,
            lag_seconds=9.0,
            buffered=96,
            attempt=2,
            retry_in_seconds=3.2,
            first_unfinished=2204,
            at_stake=(2204,),
            last_error="OperationalError: connection refused",
            traceback=TRACEBACK,
        ),
    )


def state(lanes: Iterable[Lane], *, bridge: str = "bridge-a", trouble: str = "", totals: Totals | None = None) -> State:
    """The state of one bridge with these lanes, written now."""
    all_lanes = tuple(lanes)
    partitions = {(each.topic, each.partition): each for each in all_lanes}
    found = tuple(
        Partition(
            topic=each.topic,
            partition=each.partition,
            owner=bridge,
            owner_number=7,
            stage="active",
            blocked=each.state == "stopped",
            committed=each.committed,
            position=each.position,
            fetched=each.fetched,
            end=each.end,
            lag=each.lag,
            held_bytes=0,
            full=False,
        )
        for each in partitions.values()
    )
    about = Bridge(bridge, round(time.time() * 1000), len(found), trouble, totals or Totals())
    return State(all_lanes, found, (about,))


def totals(finished: int) -> Totals:
    """What a bridge has done when it has finished so many records."""
    batches = finished // 90 + 1
    sizes, seconds = [0] * (len(SIZE_BOUNDS) + 1), [0] * (len(SECONDS_BOUNDS) + 1)
    for index, share in ((0, 0.02), (3, 0.05), (4, 0.1), (5, 0.18), (6, 0.65)):
        sizes[index] = int(batches * share)
    for index, share in ((1, 0.1), (2, 0.35), (3, 0.3), (4, 0.15), (5, 0.08), (6, 0.02)):
        seconds[index] = int(batches * share)
    now = round(time.time() * 1000)
    return Totals(
        finished=finished,
        batches={"size": int(batches * 0.65), "timeout": int(batches * 0.33), "bytes": int(batches * 0.02)},
        sizes=Distribution(tuple(sizes), float(finished)),
        round_trips=Distribution(tuple(seconds), batches * 0.05),
        failures={"failed": 9, "worker_lost": 1},
        retries=8,
        disposed={"exhausted": 2},
        commits=batches,
        rebalances=(
            Rebalance(now - 540_000, "assigned", tuple(f"orders[{n}]" for n in range(8))),
            Rebalance(now - 320_000, "revoked", ("orders[6]", "orders[7]")),
            Rebalance(now - 300_000, "assigned", ("orders[6]", "orders[7]", "payments[2]")),
        ),
    )
