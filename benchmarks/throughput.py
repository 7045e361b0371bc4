"""How fast a backlog is worked off and what it costs: by batch size and links of the chain, size of records and
compression, partitions, workers and their pools, bridges, trains. Product defaults except what a case says; two solo
workers without events unless it says otherwise.

The first cases are those with a target: all of a backlog of 5,000,000 records, five windows. The others explore: three
windows, over so many records of the backlog that a window takes some seconds.
"""

from __future__ import annotations

from functools import partial

from benchmarks.case import Case, Shape
from benchmarks.goals import Goal
from benchmarks.measuring import Setting, measure

BACKLOG = Shape()
#: of records of 1 KiB there are fewer: a gigabyte
LARGE = Shape(size=1024, records=1_000_000)

#: for guesses how long a window takes: to start and end processes, records per second and link
_AROUND_S, _RATE = 5.0, 500_000

BATCHES = (50, 100, 500, 1000, 5000)

#: as the Procfile starts its workers
PROCFILE = ("-c", "2", "-E", "-l", "INFO", "--without-gossip", "--without-mingle")


def _case(name: str, setting: Setting, shape: Shape = BACKLOG, *, windows: int = 3, quick: int = 0) -> Case:
    seconds = _AROUND_S + (setting.records or shape.records) * setting.links / _RATE
    return Case(name, shape, partial(measure, setting), windows=windows, quick=quick, seconds=seconds)


def _acceptance(batch: int, links: int = 1, *, quick: int = 0) -> Case:
    return _case(name_of(batch, links), Setting({"batch_size": batch}, links), windows=5, quick=quick)


def _explored(batch: int, links: int) -> Case:
    records = 1_000_000 if links > 1 else 2_000_000
    return _case(name_of(batch, links), Setting({"batch_size": batch}, links, records=records))


def name_of(batch: int, links: int) -> str:
    """The case with that size of a batch and so many links of the chain."""
    return f"throughput/batch-{batch}-links-{links}"


ACCEPTANCE = (
    _acceptance(100, quick=3),
    _acceptance(500),
    _acceptance(1000, quick=3),
    _acceptance(5000),
    _acceptance(100, 2, quick=3),
)

_EXPLORED = tuple(
    _explored(batch, links)
    for links in (1, 2, 3)
    for batch in BATCHES
    if name_of(batch, links) not in {case.id for case in ACCEPTANCE}
)

_TRAINS = tuple(
    _case(f"trains/{most}", Setting({"batch_size": 100, "max_batches_per_chain": most}, records=most * 500_000))
    for most in (1, 4)
)

_COMPRESSION = tuple(
    _case(
        f"compression/{shape.size}-bytes-batch-{batch}-{how}", Setting({"batch_size": batch, "compression": how}), shape
    )
    for shape, batches in ((LARGE, (100, 1000)), (BACKLOG, (1000,)))
    for batch in batches
    for how in ("none", "lz4", "zstd")
    if how != "none" or shape is LARGE
)

_PARTITIONS = tuple(
    _case(
        f"partitions/{partitions}-batch-{batch}", Setting({"batch_size": batch}), Shape(partitions, records=2_000_000)
    )
    for partitions in (1, 100, 500)
    for batch in (100, 1000)
)

_WORKERS = tuple(
    _case(
        f"workers/{name}-batch-{batch}",
        Setting({"batch_size": batch}, workers=count, worker_options=options, records=2_000_000),
    )
    for name, count, options, batches in (
        ("1-solo", 1, ("-P", "solo"), (100, 1000)),
        ("4-solo", 4, ("-P", "solo"), (100, 1000)),
        ("2-prefork-2", 2, ("-P", "prefork", "-c", "2"), (100,)),
        ("2-threads-12", 2, ("-P", "threads", "-c", "12"), (100,)),
        ("procfile", 2, PROCFILE, (100, 1000)),
    )
    for batch in batches
)

_BRIDGES = tuple(
    _case(f"bridges/{count}", Setting({"batch_size": 100}, bridges=count, records=3_000_000)) for count in (2, 4)
)

CASES = (*ACCEPTANCE, *_EXPLORED, *_TRAINS, *_WORKERS, *_BRIDGES, *_COMPRESSION, *_PARTITIONS)

#: what these figures are meant to reach
GOALS = (
    *(
        goal
        for batch, links, rate, cpu_ms in (
            (100, 1, 500_000, 2.6),
            (500, 1, 600_000, 2.2),
            (1000, 1, 600_000, 2.2),
            (5000, 1, 800_000, 1.5),
            (100, 2, 340_000, 4.5),
        )
        for goal in (
            Goal(name_of(batch, links), "rate", at_least=rate),
            Goal(name_of(batch, links), "cpu_ms", at_most=cpu_ms),
        )
    ),
    Goal(name_of(1000, 1), "bridge_us", at_most=1.2),
    Goal(name_of(1000, 1), "workers_us", at_most=0.8),
    *(Goal(name_of(batch, 1), "rss_mib", at_most=143) for batch in (100, 1000, 5000)),  # 150 MB
    *(Goal(name_of(batch, 1), "tail_s", at_most=0.2) for batch in (100, 1000)),
)

#: for CI: whether it all still works and is right, no matter how fast
SMOKE = tuple(
    _case(f"smoke/batch-100-links-{links}", Setting({"batch_size": 100}, links), Shape(records=1_000_000), windows=1)
    for links in (1, 2)
)
