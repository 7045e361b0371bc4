"""Any size of screen and of group, any hand, any eye; and nothing that is shown is ever run."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from bridge.instructions import Pause, Target
from tests.browser import scenes
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import Group

MARKUP = "<img src=x onerror='window.ran = true'><script>window.ran = true</script>"

#: relative luminance as WCAG defines it, on the first background that is not transparent
CONTRASTS = """(selector) => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const found = parse(getComputedStyle(at).backgroundColor);
            if (found.length < 4 || found[3] > 0) return found;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll(selector)].filter((each) => each.offsetParent && each.textContent.trim())
        .map((each) => {
            const pair = [light(parse(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
            const what = `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 40)}`;
            return [(pair[0] + 0.05) / (pair[1] + 0.05), what];
        });
}"""

EVERY_STATE = [
    scenes.stopped(),
    scenes.stalled(),
    scenes.retrying(),
    scenes.running(),
    scenes.lane("orders", 8),
    scenes.lane("orders", 9, state="paused", reason="paused by anna"),
    scenes.lane("orders", 10, state="filling", reason="filling"),
    scenes.lane("orders", 11, state="adopting", reason="adopting"),
]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(group: Group, start: StartFlower, look: Look, width: int) -> None:
    long = scenes.stopped("o" * 249, last_error="E" * 400, reason="R" * 400, owner="b" * 200)
    group.publish(scenes.state([*EVERY_STATE, long], trouble="T" * 300, totals=scenes.totals(12345678)))
    page = look(start(group), width=width)
    expect(page.locator(".lanes-row")).to_have_count(9)
    assert overflow(page) == 0
    page.locator(".lanes-row").filter(has_text="oooo").get_by_role("button").click()
    expect(page.get_by_role("complementary")).to_contain_text("Traceback")
    assert overflow(page) == 0
    assert page.get_by_role("complementary").evaluate("each => each.scrollWidth - each.clientWidth") == 0


def test_five_hundred_partitions_are_shown_and_followed(group: Group, start: StartFlower, look: Look) -> None:
    lanes = [scenes.running("orders", number) for number in range(500)]
    group.publish(scenes.state(lanes))
    page = look(start(group))
    expect(page.locator(".lanes-strip button")).to_have_count(500)
    lanes[321] = scenes.stopped("orders", 321)
    group.publish(scenes.state(lanes))
    expect(page.locator(".lanes-strip button").first).to_have_attribute(
        "aria-label", re.compile(r"orders\[321\].*stopped")
    )
    page.get_by_role("button", name="Show all 500").click()
    expect(page.locator(".lanes-row")).to_have_count(500)
    page.get_by_label("Show only lanes with these words").fill("orders/32 running")
    expect(page.locator(".lanes-row")).to_have_count(10)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(group: Group, start: StartFlower, look: Look, scheme: str) -> None:
    group.publish(scenes.state(EVERY_STATE, trouble="no Kafka", totals=scenes.totals(5000)))
    page = look(start(group, "--basic_auth=a:b"), login="a:b", color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
    page.locator(".lanes-row").first.get_by_role("button").click()
    expect(page.get_by_role("complementary")).to_contain_text("Traceback")
    found = page.evaluate(
        CONTRASTS, "#lanes :is(h1, h2, h3, p, dt, dd, li, small, button:enabled, span, th, td, a, pre, time)"
    )
    assert len(found) > 60
    assert [each for each in found if each[0] < 4.5] == []


def test_everything_can_be_done_from_the_keyboard(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.stopped(), scenes.running("orders", 1)]))
    page = look(start(group, "--basic_auth=a:b"), login="a:b")
    cells = page.locator(".lanes-strip button")
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    expect(cells.nth(1)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    detail = page.get_by_role("complementary")
    expect(detail.get_by_role("heading", level=2)).to_be_focused()
    detail.get_by_role("button", name="Skip record …").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(detail).to_be_visible()
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(cells.first).to_be_focused()


def test_markup_in_what_is_shown_stays_text(group: Group, start: StartFlower, look: Look) -> None:
    hostile = scenes.stopped(
        MARKUP, 0, reason=MARKUP, last_error=MARKUP, traceback=MARKUP, owner=MARKUP, queue=MARKUP, paused=MARKUP
    )
    group.publish(scenes.state([hostile], bridge=MARKUP, trouble=MARKUP))
    group.operators.pause(Pause(Target(MARKUP), MARKUP, 1, MARKUP))
    page = look(start(group, "--basic_auth=a:b"), login="a:b")
    page.locator(".lanes-row").get_by_role("button").click()
    expect(page.get_by_role("complementary").locator("pre")).to_have_text(MARKUP)
    expect(page.get_by_role("region", name="What people asked for")).to_contain_text(MARKUP)
    page.get_by_role("complementary").get_by_role("button", name="Skip record …").click()
    expect(page.get_by_role("dialog")).to_contain_text(MARKUP)
    assert page.evaluate("window.ran") is None
    assert page.locator("#lanes img, #lanes script").count() == 0
