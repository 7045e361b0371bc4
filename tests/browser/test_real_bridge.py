"""A real bridge, a real worker and a real Kafka: what the page says is so, and what its buttons ask for is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from bridge.instructions import Target
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import Group
from tests.integration.world import ROOT, World
from tests.waiting import wait_until

APP = "tests.integration.apps.operated"
LOGIN = "anna:secret"

#: milliseconds until the bridge has done something and says so
SOON_MS = 60_000


@dataclass(frozen=True)
class Shown:
    """A page of a running group; `topic` has one partition."""

    page: Page
    url: str
    group: Group
    world: World
    topic: str

    @property
    def card(self) -> str:
        """Where the lane is if it needs a person."""
        return ".lanes-card"

    def is_done(self, *offsets: int) -> None:
        """Wait until these, and no others, were handled."""
        wait_until(lambda: [entry["offset"] for entry in self.world.journal(done=True)] == [*offsets], 60.0, "records")


@pytest.fixture
def shown(world: World, make_topic: Callable[..., str], start: StartFlower, look: Look) -> Shown:
    """A bridge, a worker that sends events, and Flower, which must know the worker before it does anything."""
    topic = make_topic(f"{world.group}-t", 1)
    env = {"TEST_TOPIC": topic, "TEST_REPAIRED": str(world.directory / "repaired")}
    group = Group(world.redis_url, world.group)
    # of the variables that speak of servers, `start` lets only these through
    named = {
        name: value for name, value in world.environment.items() if name.startswith(("BRIDGE_", "CELERY_", "TEST_"))
    }
    flower = start(group, f"--basic_auth={LOGIN}", app=APP, **{**named, **env})
    world.worker(APP, "-P", "solo", "-E", **env)
    wait_until(lambda: "flower_worker_online{" in flower.ask("/metrics")[1], 60.0, "Flower knows the worker")
    world.start("bridge", "lanebridge", "-A", APP, "run", cwd=ROOT, **env)
    page = look(flower, login=LOGIN)
    expect(page.locator(".lanes-row")).to_have_count(1, timeout=SOON_MS)
    return Shown(page, flower.url, group, world, topic)


def test_pause_and_resume_act(shown: Shown) -> None:
    page, row = shown.page, shown.page.locator(".lanes-row")
    row.get_by_role("button").click()
    detail = page.get_by_role("complementary")
    detail.get_by_role("button", name="Pause …").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause ").click()
    expect(row).to_contain_text("paused", timeout=SOON_MS)
    shown.world.produce(shown.topic, [b"good", b"good"])
    expect(row).to_contain_text("2 records", timeout=SOON_MS)
    expect(detail).to_contain_text("2 records")
    assert not shown.world.journal(done=True)
    detail.get_by_role("button", name=f"Resume {shown.topic}/0/0").click()
    shown.is_done(0, 1)
    expect(page.get_by_role("heading", level=1)).to_have_text("All lanes move", timeout=SOON_MS)


def test_retry_and_skip_act_and_the_bridges_answers_are_shown(shown: Shown) -> None:
    page, world = shown.page, shown.world
    world.produce(shown.topic, [b"good", b"bad", b"good"])
    row, asked = page.locator(".lanes-row"), page.get_by_role("region", name="What people asked for")
    expect(row).to_contain_text("retrying", timeout=SOON_MS)
    row.get_by_role("button").click()
    detail = page.get_by_role("complementary")
    expect(detail.locator("pre")).to_contain_text("ValueError: bad cannot be handled")
    expect(detail.locator("pre")).to_contain_text("operated.py")
    detail.get_by_role("button", name="Retry now").click()
    expect(asked).to_contain_text("it is tried again now", timeout=SOON_MS)
    expect(row).to_contain_text("stopped", timeout=SOON_MS)
    expect(page.locator(shown.card)).to_contain_text("What to do:")
    detail.get_by_role("button", name="Skip record …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("bad cannot be handled")
    dialog.get_by_label("Type the offset").fill("1")
    dialog.get_by_role("button", name="Skip offset 1").click()
    expect(asked).to_contain_text("record 1 is skipped", timeout=SOON_MS)
    shown.is_done(0, 2)
    expect(page.get_by_role("heading", level=1)).to_have_text("All lanes move", timeout=SOON_MS)
    wait_until(lambda: world.committed(shown.topic) == [3], 60.0, "all of it is committed")
    lines = [(line.who, line.action, line.offset) for line in shown.group.operators.audit() if not line.result]
    assert lines == [("anna", "retry", 1), ("anna", "skip", 1)]
    assert {line.target for line in shown.group.operators.audit()} == {str(Target(shown.topic, 0, 0))}


def test_the_timeline_is_of_flowers_own_tasks_also_after_a_retry(shown: Shown) -> None:
    page, detail = shown.page, shown.page.get_by_role("complementary")
    shown.world.produce(shown.topic, [b"good", b"broken", b"good"])
    page.locator(".lanes-row").get_by_role("button").click()
    expect(detail.locator(".lanes-batches li")).to_have_count(1, timeout=SOON_MS)
    expect(detail).to_contain_text("retrying", timeout=SOON_MS)
    (shown.world.directory / "repaired").touch()
    detail.get_by_role("button", name="Retry now").click()
    shown.is_done(0, 1, 2)
    batches = detail.locator(".lanes-batches li")
    expect(batches).to_have_count(2, timeout=SOON_MS)
    expect(batches.nth(0)).to_contain_text(f"{shown.topic}[0] 1..2 (2 records)", timeout=SOON_MS)
    expect(batches.nth(0)).to_contain_text("success", timeout=SOON_MS)
    expect(batches.nth(1)).to_contain_text(f"{shown.topic}[0] 0..2 (3 records)")
    expect(batches.nth(1)).to_contain_text("chain cut: ended at link 1, nothing behind it ran", timeout=SOON_MS)
    batches.nth(1).get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(re.escape(f"/task/{shown.world.group}.")))
    expect(page.get_by_label("Task details")).to_contain_text(f"{shown.topic}[0] 0..2 (3 records)")
    page.goto(f"{shown.url}/broker")
    expect(page.locator("body")).to_contain_text("lane-15")
