"""What the Lanes tab costs the bridge: throughput with Flower and some viewers, and without, window by window in turn.

Run: ./run bench viewers
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import click

from benchmarks.stack import APP, Stack


@click.command("viewers")
@click.option("--partitions", default=500, show_default=True)
@click.option("--viewers", default=5, show_default=True, help="Pages that are open.")
@click.option("--windows", default=5, show_default=True, help="Measured with viewers, and as many without.")
@click.option("--seconds", default=5.0, show_default=True, help="Length of a window.")
@click.option("--events", is_flag=True, help="Let Flower ask the workers for task events, which cost by themselves.")
@click.option("--records", default=6_000_000, show_default=True, help="The backlog that is worked off.")
def viewers_cost(partitions: int, viewers: int, windows: int, seconds: float, events: bool, records: int) -> None:
    """Print the throughput with viewers as a share of that without, from pairs of windows in one run."""
    with Stack(partitions) as stack:
        click.echo(f"{records:,} records into {partitions} partitions ...")
        stack.produce(records)
        stack.start_workers()
        stack.start("lanebridge", "-A", APP, "run")
        options = () if events else ("--enable-events=False",)
        flower = stack.start("lanebridge", "-A", APP, "flower", f"--port={stack.flower}", *options)
        stack.await_finished(records * 0.05)
        ratios = []
        for number in range(windows):
            without = _window(stack, flower, 0, seconds)
            with_viewers = _window(stack, flower, viewers, seconds)
            if stack.finished() >= records:
                raise click.ClickException(f"the backlog ended in window {number + 1}: give more --records")
            ratios.append(with_viewers / without)
            click.echo(f"{number + 1}: {without:,.0f} records/s without, {with_viewers:,.0f} with {viewers} viewers")
    share = [f"{100 * ratio:.1f} %" for ratio in (median(ratios), min(ratios), max(ratios))]
    click.echo(f"throughput with viewers: {share[0]} of that without (least {share[1]}, most {share[2]})")


def _window(stack: Stack, flower: subprocess.Popen[bytes], viewers: int, seconds: float) -> float:
    """Records finished per second; Flower stands still when nobody looks."""
    flower.send_signal(signal.SIGCONT if viewers else signal.SIGSTOP)
    with _watching(stack, viewers):
        time.sleep(1.0)  # what the last window has begun is over
        before, began = stack.finished(), time.monotonic()
        time.sleep(seconds)
        return (stack.finished() - before) / (time.monotonic() - began)


@contextmanager
def _watching(stack: Stack, viewers: int) -> Iterator[None]:
    """So many pages follow the stream. Raises RuntimeError when one of them got nothing."""
    is_over, seen = threading.Event(), [0] * viewers

    def look(index: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.flower}/lanes/api/stream", timeout=30) as stream:
            while not is_over.is_set() and (line := stream.readline()):
                seen[index] += len(line)

    threads = [threading.Thread(target=look, args=(index,), daemon=True) for index in range(viewers)]
    for thread in threads:
        thread.start()
    yield
    is_over.set()
    for thread in threads:
        thread.join(10)
    if not all(seen):
        raise RuntimeError(f"a viewer saw nothing: {seen} bytes")
