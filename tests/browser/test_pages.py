"""The Lanes tab stands beside Flower's own pages, whatever way Flower is started."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import scenes
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import Group

LOGIN = "anna:secret"


@pytest.mark.parametrize(
    ("options", "login"),
    [((), ""), ((f"--basic_auth={LOGIN}",), LOGIN), (("--url_prefix=ops/flower",), "")],
    ids=["plain", "basic_auth", "url_prefix"],
)
def test_it_is_a_tab_on_every_page(
    group: Group, start: StartFlower, look: Look, options: tuple[str, ...], login: str
) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    page = look(start(group, *options), "/workers", login=login)
    tabs = page.locator(".app-nav").first.get_by_role("link")
    for name in ("Workers", "Tasks", "Broker", "Lanes"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_url(re.compile(rf"/{name.lower()}$"))
        expect(tabs).to_have_text(["Workers", "Tasks", "Broker", "Lanes"])
    expect(page.get_by_role("heading", level=1)).to_have_text("1 lane stands still: 1 stopped")
    expect(page.get_by_role("link", name="Lanes", exact=True)).to_have_attribute("aria-current", "page")


def test_all_it_needs_comes_from_flower_itself(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.running()]))
    flower = start(group)
    page = look(flower, "/healthcheck")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{flower.url}/lanes")
    expect(page.get_by_role("heading", level=1)).to_have_text("All lanes move")
    assert len(asked) > 10
    assert {url for url in asked if not url.startswith((flower.url, "data:"))} == set()


def test_nobody_sees_it_without_the_login_that_flower_asks_for(group: Group, start: StartFlower) -> None:
    flower = start(group, f"--basic_auth={LOGIN}")
    for path in ("", "/api/stream", "/api/lane?topic=a&partition=0&lane=0", "/api/hour", "/api/letters"):
        assert flower.ask(f"/lanes{path}")[0] == 401, path
        assert flower.ask(f"/lanes{path}", login="anna:wrong")[0] == 401, path
    assert flower.ask("/lanes", login=LOGIN)[0] == 200


def test_its_answers_carry_security_headers(group: Group, start: StartFlower) -> None:
    flower = start(group, FLOWER_UNAUTHENTICATED_API="true")
    for path in ("/lanes", "/lanes/api/hour", "/lanes/api/lane?topic=a&partition=0&lane=0"):
        _, _, headers = flower.ask(path)
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


def test_what_is_asked_wrongly_is_answered_with_a_sentence(group: Group, start: StartFlower) -> None:
    flower = start(group)
    assert flower.ask("/lanes/api/lane?topic=a&partition=x&lane=0")[:2] == (
        400, '{"error":"partition and lane must be numbers"}',
    )  # fmt: skip
    assert flower.ask("/lanes/api/lane?topic=a&partition=0&lane=0")[:2] == (200, '{"lane":null}')
    assert flower.ask("/lanes/nothing")[0] == 404
    assert flower.ask("/lanes/static/../app.py")[0] in {403, 404}
