"""What the Lanes tab costs the browser: main-thread time with many partitions, all of which change every second.

Run: ./run bench page
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click
from playwright.sync_api import CDPSession, sync_playwright

from bridge.devstack import RedisServer
from tests.browser import scenes
from tests.browser.stage import Flower, Group, open_browser
from tests.chromium import PROGRAM, WHY_NOT


@click.command("page")
@click.option("--partitions", default=500, show_default=True)
@click.option("--updates", default=15, show_default=True, help="Seconds for which the page is watched.")
@click.option("--repeats", default=5, show_default=True)
def page_cost(partitions: int, updates: int, repeats: int) -> None:
    """Seconds of the main thread until all lanes are drawn, and for each update: median with least and most."""
    if WHY_NOT:
        raise click.ClickException(WHY_NOT)
    first: list[float] = []
    each: list[float] = []
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        group = Group(redis.url, "measured")
        with _changing(group, partitions), Flower(group, Path(folder)) as flower:
            for _ in range(repeats):
                browser = open_browser(playwright, PROGRAM)
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                session = page.context.new_cdp_session(page)
                session.send("Performance.enable")
                page.goto(f"{flower.url}/lanes")
                page.wait_for_function(f"document.querySelectorAll('.lanes-strip button').length === {partitions}")
                page.get_by_role("button", name=f"Show all {partitions}").click()
                first.append(_busy(session))
                page.wait_for_timeout(updates * 1000)
                each.append((_busy(session) - first[-1]) / updates)
                browser.close()
    click.echo(f"{partitions} partitions, drawn: {_spread(first)} of the main thread")
    click.echo(f"an update of all of them: {_spread(each)}")


@contextmanager
def _changing(group: Group, partitions: int) -> Iterator[None]:
    """Every lane is another one each second."""
    is_over = threading.Event()

    def publish() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            lanes = [scenes.running("orders", each, age=number + each / 1000) for each in range(partitions)]
            group.publish(scenes.state(lanes))
            is_over.wait(1.0)

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    is_over.set()
    thread.join()


def _busy(session: CDPSession) -> float:
    """Seconds for which the page's main thread has worked since the session was enabled."""
    metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")


def _spread(values: list[float]) -> str:
    return f"{median(values):.3f} s ({min(values):.3f} to {max(values):.3f})"
