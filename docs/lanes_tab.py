"""Takes the pictures of docs/lanes-tab.md: `python docs/lanes_tab.py`. It needs a Chromium on PATH, as the tests do.

The bridges are played: they publish what bridges in trouble would. Flower, the page and the browser are real.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from bridge.devstack import RedisServer  # noqa: E402
from bridge.instructions import Pause, Request, Target  # noqa: E402
from bridge.ops.state import Lane  # noqa: E402
from tests.browser import scenes  # noqa: E402
from tests.browser.stage import Flower, Group, open_browser  # noqa: E402
from tests.chromium import PROGRAM, WHY_NOT  # noqa: E402

FOLDER = ROOT / "docs" / "lanes-tab"

#: seconds that the charts are given to have something to show
CHART_S = 100.0

LOGIN = "anna:secret"

#: picture -> width, height, colours, what is opened
PICTURES = {
    "light": (1280, 960, "light", ""),
    "dark": (1280, 960, "dark", ""),
    "phone": (390, 844, "light", ""),
    "stopped": (1120, 790, "light", "#lane=orders/7/0"),
    "skip": (1280, 800, "dark", "#lane=orders/7/0"),
    "charts": (1280, 640, "light", ""),
}


def lanes(turn: int) -> list[Lane]:
    """Five hundred lanes, four of them with a story."""
    dice = random.Random(turn)
    ages = [dice.expovariate(1.5) * (12 if number % 37 == 0 else 1) for number in range(480)]
    moving = [
        scenes.running("orders", number, round(age, 1)) if age > 0.15 else scenes.lane("orders", number)
        for number, age in enumerate(ages)
        if number not in {4, 7}
    ]
    paused = scenes.lane(
        "payments",
        5,
        state="paused",
        reason="payments/5 is paused by bob since 2026-11-30 02:58:11 UTC (ledger is moved); 84 records wait",
        paused="payments/5 is paused by bob since 2026-11-30 02:58:11 UTC (ledger is moved)",
        lag=84,
        end=1084,
        lag_seconds=380.0,
    )
    return [scenes.stopped(), scenes.stalled(), scenes.retrying(), paused, *moving]


@contextmanager
def played(group: Group) -> Iterator[None]:
    """A bridge that publishes once a second."""
    done = threading.Event()
    finished = 0

    def publish() -> None:
        nonlocal finished
        turn = 0
        while not done.wait(1.0):
            turn += 1
            finished += 830 + int(300 * random.Random(turn).random()) - (500 if 40 < turn < 50 else 0)
            group.publish(scenes.state(lanes(turn), totals=scenes.totals(finished)))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def ask(group: Group) -> None:
    """What people did before the picture was taken."""
    now = round(time.time() * 1000)
    group.operators.pause(Pause(Target("payments", 5), "bob", now - 720_000, "ledger is moved"))
    retry = Request("1", "retry", Target("orders", 7, 0), 4711, "anna", now - 61_000)
    group.operators.ask(retry)
    answer = "it is tried again now, as if for the first time"
    group.operators.answer(retry, answer, done=True, bridge="bridge-a", at_ms=now - 60_500)


def take(browser: Any, flower: Flower, name: str) -> None:
    """One picture."""
    width, height, scheme, opened = PICTURES[name]
    who, _, password = LOGIN.partition(":")
    login = {"username": who, "password": password}
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        http_credentials=login,
        reduced_motion="reduce",
    )
    page: Page = context.new_page()
    page.goto(f"{flower.url}/lanes{opened}")
    page.locator(".lanes-row").first.wait_for()
    if opened:
        page.locator(".lanes-detail pre").wait_for()
    if name == "skip":
        page.locator(".lanes-detail").get_by_role("button", name="Skip record …").click()
        page.get_by_label("Type the offset").fill("471")
    if name == "charts":
        page.locator(".uplot").first.wait_for()
        page.evaluate("scrollTo({top: document.getElementById('charts-title').getBoundingClientRect().top - 90,"
                      " behavior: 'instant'})")  # fmt: skip
    page.screenshot(path=str(FOLDER / f"{name}.png"))
    context.close()


def main() -> None:
    """All of them."""
    if WHY_NOT:
        raise SystemExit(WHY_NOT)
    FOLDER.mkdir(exist_ok=True)
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        group = Group(redis.url, "shop")
        ask(group)
        options = (f"--basic_auth={LOGIN}",)
        with played(group), Flower(group, Path(folder), *options) as flower, sync_playwright() as playwright:
            time.sleep(CHART_S)
            browser = open_browser(playwright, PROGRAM)
            for name in PICTURES:
                take(browser, flower, name)
            browser.close()


if __name__ == "__main__":
    main()
