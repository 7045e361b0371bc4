"""A Redis, a group that is played, Flowers and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bridge.devstack import RedisServer
from tests.browser.stage import Flower, Group, open_browser
from tests.chromium import MUST_BE_THERE, PROGRAM, WHY_NOT
from tests.integration.conftest import make_world, world  # noqa: F401 - fixtures for the one with a real bridge

#: milliseconds until something must be seen; far more than it takes
PATIENCE_MS = 30_000

#: kinds of lines of a browser's console
BAD = {"error", "warning"}

StartFlower = Callable[..., Flower]
Look = Callable[..., Page]


@pytest.fixture
def group(redis_server: RedisServer, group_name: str) -> Group:
    """A group of this test alone."""
    return Group(redis_server.url, group_name)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartFlower]:
    """Starts Flower: `start(group, "--read_only")`."""
    with ExitStack() as stack:
        yield lambda group, *options, **more: stack.enter_context(Flower(group, tmp_path, *options, **more))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file: Playwright keeps an event loop as long as it is there."""
    if WHY_NOT:
        (pytest.fail if MUST_BE_THERE else pytest.skip)(WHY_NOT)
    with sync_playwright() as playwright:
        browser = open_browser(playwright, PROGRAM)
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Opens a page: `look(flower, "/lanes", login="anna:secret", width=390)`. Whatever the browser complains of, an
    error of a script, a broken content security policy, a file that is missing, fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def open_page(
            flower: Flower,
            path: str = "/lanes",
            *,
            login: str = "",
            width: int = 1280,
            may_complain: bool = False,
            **context: Any,
        ) -> Page:
            name, _, password = login.partition(":")
            if login:
                context["http_credentials"] = {"username": name, "password": password}
            within = stack.enter_context(browser.new_context(viewport={"width": width, "height": 900}, **context))
            within.set_default_timeout(PATIENCE_MS)
            page = within.new_page()
            if not may_complain:
                page.on("console", lambda said: complaints.append(said.text) if said.type in BAD else None)
                page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{flower.url}{path}")
            return page

        yield open_page
    assert not complaints
