"""Buttons leave instructions for the bridges, in somebody's name, and show what became of them."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from bridge.instructions import Pause, Target
from tests.browser import scenes
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import Group
from tests.waiting import wait_until

LOGIN = "anna:secret"
WITH_LOGIN = f"--basic_auth={LOGIN}"
PAUSE = json.dumps({"action": "pause", "topic": "orders", "partition": 7, "lane": 0}).encode()

#: from a page: as a cross-site form would, then as our own page does
SEND = """async ([url, body]) => {
    const ways = [{mode: "no-cors", headers: {"Content-Type": "text/plain"}},
                  {mode: "cors", headers: {"Content-Type": "application/json", "X-Lanebridge-Act": "1"}}];
    const found = [];
    for (const way of ways) {
        try { found.push((await fetch(url, {method: "POST", body, credentials: "include", ...way})).status); }
        catch (error) { found.push(error.name); }
    }
    return found;
}"""


def body(action: str, **more: object) -> bytes:
    """What a button of the stopped lane sends."""
    return json.dumps({"action": action, "topic": "orders", "partition": 7, "lane": 0, **more}).encode()


def test_pause_and_resume(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    page = look(start(group, WITH_LOGIN), login=LOGIN)
    page.get_by_role("button", name="Pause …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("the whole topic").check()
    dialog.get_by_label("Note").fill("deploy")
    dialog.get_by_role("button", name="Pause orders").click()
    pause = wait_until(lambda: group.operators.read().pauses)[0]
    assert (pause.target, pause.who, pause.note) == (Target("orders"), "anna", "deploy")
    expect(page.get_by_role("region", name="What people asked for")).to_contain_text("anna pause orders (deploy)")
    page.locator(".lanes-card").get_by_role("button", name="Resume orders").click()
    wait_until(lambda: not group.operators.read().pauses)
    expect(page.locator(".lanes-card").get_by_role("button", name="Pause …")).to_be_visible()


def test_retry_is_pending_until_the_bridge_has_answered(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    page = look(start(group, WITH_LOGIN), login=LOGIN)
    card = page.locator(".lanes-card").filter(has_text="orders[7]")
    card.get_by_role("button", name="Retry now").click()
    expect(card).to_contain_text("waiting for the bridge")
    (request,) = group.operators.read().requests
    assert (request.action, request.target, request.offset) == ("retry", Target("orders", 7, 0), 4711)
    group.operators.answer(request, "tried again", done=True, bridge="bridge-a", at_ms=request.at_ms + 5)
    expect(card).to_contain_text("bridge-a retry orders/7/0 at offset 4711: tried again")
    expect(card).not_to_contain_text("waiting for the bridge")
    expect(card.locator("[data-answer=done]")).to_have_count(1)
    card.get_by_role("button", name="Retry now").click()
    (request,) = wait_until(lambda: group.operators.read().requests)
    group.operators.answer(request, "it does not wait", done=False, bridge="bridge-a", at_ms=request.at_ms + 5)
    expect(card.locator("[data-answer=refused]")).to_contain_text("it does not wait")


def test_skipping_names_the_record_and_needs_its_offset_typed(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    page = look(start(group, WITH_LOGIN), login=LOGIN)
    page.get_by_role("button", name="Skip record …").click()
    dialog = page.get_by_role("dialog")
    for text in ("orders", "7, lane 0", "4711", "amount_positive is violated"):
        expect(dialog).to_contain_text(text)
    send = dialog.get_by_role("button", name="Skip offset 4711")
    expect(send).to_be_disabled()
    dialog.get_by_label("Type the offset").fill("4712")
    expect(send).to_be_disabled()
    dialog.get_by_label("Type the offset").fill("4711")
    send.click()
    (request,) = wait_until(lambda: group.operators.read().requests)
    assert (request.action, request.offset, request.who) == ("skip", 4711, "anna")
    page.get_by_role("button", name="Take back").click()
    wait_until(lambda: not group.operators.read().requests)
    expect(page.get_by_role("region", name="What people asked for")).to_contain_text("withdrawn")


def test_only_what_is_there_can_be_meant(group: Group, start: StartFlower) -> None:
    group.publish(scenes.state([scenes.stopped(), scenes.lane("orders", 1)]))
    flower = start(group, WITH_LOGIN)
    wait_until(lambda: flower.ask("/lanes/api/lane?topic=orders&partition=7&lane=0", login=LOGIN)[0] == 200)
    refused = [
        (409, b'{"action": "pause", "topic": "payments"}', "no bridge of the group has a lane of payments"),
        (409, body("resume"), "nothing of orders/7/0 is paused"),
        (409, body("skip", offset=4712, confirm="4712"), "does not stand at offset 4712 any more"),
        (409, body("skip", offset=4711, confirm="471"), "type its offset: 4711"),
        (409, body("retry", partition=1), "has no unfinished record"),
        (409, body("withdraw", request="x"), "a bridge has answered it"),
        (400, body("drop"), "Invalid enum value 'drop'"),
        (400, body("pause", topic="<b>"), "topic"),
        (400, body("pause", note="x" * 201), "note"),
        (400, body("pause", more=1), "unknown field `more`"),
        (400, b"\xff", "malformed"),
    ]
    for status, sent, why in refused:
        found = flower.act(sent, LOGIN)
        assert found[0] == status, found
        assert why in json.loads(found[1])["error"]
    assert not group.operators.audit()


def test_asking_twice_is_asking_once(group: Group, start: StartFlower) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower = start(group, WITH_LOGIN)
    wait_until(lambda: flower.act(body("retry"), LOGIN)[0] == 200)
    (request,) = group.operators.read().requests
    assert json.loads(flower.act(body("retry"), LOGIN)[1])["request"] == request.id
    assert len(group.operators.read().requests) == 1


def test_without_a_login_nobody_acts_and_the_page_says_which_option_helps(
    group: Group, start: StartFlower, look: Look
) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower = start(group)
    status, text = flower.act(PAUSE)
    assert status == 401
    assert "--basic-auth" in text
    page = look(flower)
    expect(page.get_by_text("Acting needs a login: start Flower with --basic-auth")).to_be_visible()
    expect(page.get_by_role("button", name="Retry now")).to_be_disabled()
    expect(page.get_by_role("button", name="Skip record …")).to_be_disabled()
    assert not group.operators.audit()


def test_flowers_own_variable_opens_it_to_those_who_use_an_address(group: Group, start: StartFlower) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower = start(group, FLOWER_UNAUTHENTICATED_API="true")
    wait_until(lambda: flower.act(PAUSE)[0] == 200)
    assert group.operators.read().pauses[0].who == "somebody at 127.0.0.1"
    status, text = flower.act(PAUSE, Host=f"evil.example:{flower.port}")
    assert status == 403
    assert "evil.example" in text


def test_read_only_refuses_and_the_page_says_so(group: Group, start: StartFlower, look: Look) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower = start(group, WITH_LOGIN, "--read_only")
    status, text = flower.act(PAUSE, LOGIN)
    assert status == 403
    assert "--read_only" in text
    page = look(flower, login=LOGIN)
    expect(page.get_by_role("button", name="Pause …")).to_be_disabled()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Lanebridge_Act": ""}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "", "Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "", "Origin": ""}, 200),
    ],
    ids=["no header", "cross-site", "same-site", "other port", "opaque origin", "a script with the login"],
)
def test_other_sites_cannot_act(group: Group, start: StartFlower, headers: dict[str, str], status: int) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower = start(group, WITH_LOGIN)
    wait_until(lambda: flower.ask("/lanes/api/lane?topic=orders&partition=7&lane=0", login=LOGIN)[0] == 200)
    assert flower.act(PAUSE, LOGIN, **headers)[0] == status
    assert len(group.operators.audit()) == (status == 200)


def test_a_page_of_another_origin_cannot_act_with_the_viewers_login(
    group: Group, start: StartFlower, look: Look
) -> None:
    group.publish(scenes.state([scenes.stopped()]))
    flower, other = start(group, WITH_LOGIN), start(group)
    page = look(flower, login=LOGIN, may_complain=True)
    expect(page.locator(".lanes-card")).to_be_visible()
    page.goto(f"{other.url}/healthcheck")
    assert page.evaluate(SEND, [f"{flower.url}/lanes/api/act", PAUSE.decode()]) == ["TypeError", "TypeError"]
    assert not group.operators.audit()
    page.goto(f"{flower.url}/healthcheck")
    assert page.evaluate(SEND, [f"{flower.url}/lanes/api/act", PAUSE.decode()]) == [403, 200]
    assert len(group.operators.audit()) == 1


def test_a_pause_of_somebody_else_can_be_resumed_from_each_lane_it_holds(
    group: Group, start: StartFlower, look: Look
) -> None:
    group.operators.pause(Pause(Target("orders"), "bob", 1, "database is moved"))
    group.publish(scenes.state([scenes.lane(state="paused", reason="paused", paused="bob")]))
    page = look(start(group, WITH_LOGIN), login=LOGIN)
    page.locator(".lanes-card").get_by_role("button", name="Resume orders").click()
    wait_until(lambda: not group.operators.read().pauses)
