"""The page follows what the bridges publish, without being loaded again."""

from __future__ import annotations

from playwright.sync_api import expect

from bridge.devstack import RedisServer
from tests.browser import scenes
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import Group


def test_lanes_change_as_the_bridges_publish(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.running(), scenes.stopped()]))
    page = look(start(group))
    card = page.locator(".lanes-card").filter(has_text="orders[7]")
    expect(card).to_contain_text("out of attempts (5): IntegrityError")
    expect(card).to_contain_text("What to do:")
    page.evaluate("window.loadedOnce = true")
    group.publish(scenes.state([scenes.running(), scenes.stalled()]))
    expect(page.get_by_role("heading", level=1)).to_have_text("1 lane stands still: 1 stalled")
    expect(page.locator(".lanes-card").filter(has_text="payments[2]")).to_contain_text("no worker consumes lane-2")
    expect(card).to_have_count(0)
    expect(page.locator(".lanes-since").first).to_contain_text("stalled since ")
    group.publish(scenes.state([scenes.running()]))
    expect(page.get_by_role("heading", level=1)).to_have_text("All lanes move")
    assert page.evaluate("window.loadedOnce") is True


def test_an_opened_lane_shows_all_that_is_known_and_stays_live(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.retrying(), scenes.running(group=group.name)]))
    page = look(start(group))
    page.locator(".lanes-row").filter(has_text="orders[4]").get_by_role("button").click()
    detail = page.get_by_role("complementary")
    for text in ("attempt 2 of 5, next at", "OperationalError", "Traceback", "2,204", "lane-4", "bridge-a"):
        expect(detail).to_contain_text(text)
    group.publish(scenes.state([scenes.running("orders", 4, group=group.name)]))
    expect(detail).to_contain_text("has been running on worker-1@host")
    link = detail.get_by_role("link").first
    expect(link).to_have_attribute("href", f"/task/{group.name}.orders-4.1148-1247.1795515884-7-1")
    group.publish(scenes.state([scenes.running(group=group.name)]))
    expect(detail).to_contain_text("No bridge has this lane now")
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)


def test_no_bridge_at_all_is_said_with_what_to_do(group: Group, start: StartFlower, look: Look) -> None:
    page = look(start(group))
    expect(page.get_by_role("heading", level=1)).to_have_text(
        f"No bridge of group {group.name} is running. Start one: lanebridge run"
    )


def test_a_silent_redis_is_said_and_the_last_picture_stays(group_name: str, start: StartFlower, look: Look) -> None:
    with RedisServer() as redis:
        group = Group(redis.url, group_name)
        group.publish(scenes.state([scenes.stopped()]))
        page = look(start(group))
        expect(page.locator(".lanes-card").filter(has_text="orders[7]")).to_be_visible()
        redis.stop()
        expect(page.get_by_role("alert")).to_contain_text("the ledger (Redis) does not answer")
        expect(page.locator(".lanes-card").filter(has_text="orders[7]")).to_be_visible()


def test_charts_and_totals_come_from_what_the_bridge_has_done(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.running()], totals=scenes.totals(9000)))
    page = look(start(group))
    totals = page.get_by_role("region", name="Since the bridges started")
    expect(totals.get_by_role("row").filter(has_text="timeout")).to_contain_text("33")
    expect(totals.get_by_role("row").filter(has_text="51 to 100")).to_contain_text("65")
    expect(page.get_by_role("region", name="Rebalances")).to_contain_text("revoked 2: orders[6], orders[7]")
    expect(page.get_by_role("region", name="The last hour")).to_contain_text("kept since this Flower started")
    group.publish(scenes.state([scenes.running()], totals=scenes.totals(19000)))
    expect(page.get_by_role("img", name="Latency")).to_contain_text("", use_inner_text=True)
    expect(page.get_by_role("img", name="Lag, records: now 320")).to_have_count(1)
