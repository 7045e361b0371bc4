"""`./run bench`: what Lanebridge costs, and how fast it is."""

from __future__ import annotations

import click

from benchmarks.page import page_cost
from benchmarks.throughput import throughput
from benchmarks.viewers import viewers_cost


@click.group()
def bench() -> None:
    """Benchmarks on real parts, which they start and stop themselves. Run them on a machine that does nothing else."""


bench.add_command(throughput)
bench.add_command(page_cost)
bench.add_command(viewers_cost)

if __name__ == "__main__":
    bench(prog_name="./run bench")
