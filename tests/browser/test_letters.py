"""Dead letters on the page: by cause, with a preview, and with the command that replays them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, expect

from bridge.devstack import KafkaServer, RedisServer
from bridge.records import KEY, VALUE, TopicPartition
from tests.browser import scenes
from tests.browser.conftest import Look, StartFlower
from tests.browser.stage import SCRIPTS, Flower, Group
from tests.kafka.letters import letter, records_of, row, writing

MARKUP = "<img src=x onerror='window.ran = true'>"

#: milliseconds in which Kafka has answered
SOON_MS = 60_000


@pytest.fixture
def given_up(
    kafka: KafkaServer, redis_server: RedisServer, make_topic: Callable[..., str], topic_name: str, group_name: str
) -> Group:
    """A group whose topic has three dead letters: two of one cause, one of another, hostile one."""
    make_topic(topic_name)
    make_topic(f"{topic_name}.dlq")
    letters = [letter(row(7)), letter(row(8)), letter(row(9, value=MARKUP.encode()), exception="Odd", message=MARKUP)]
    with writing(kafka.bootstrap_servers, group_name) as producer:
        producer.write_one(TopicPartition(topic_name, 0), f"{topic_name}.dlq", letters)
    group = Group(redis_server.url, group_name, topic_name)
    group.publish(scenes.state([scenes.running(topic_name)]))
    return group


def kind(look: Look, flower: Flower, text: str, login: str = "") -> Locator:
    """The dead letters of this cause, read."""
    page = look(flower, login=login)
    page.get_by_role("button", name="Read them").click()
    found = page.locator(".lanes-letter").filter(has_text=text)
    expect(found).to_be_visible(timeout=SOON_MS)
    return found


def environ(kafka: KafkaServer) -> dict[str, str]:
    return {"BRIDGE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}


def test_causes_are_counted_and_the_command_shown_replays_them(
    kafka: KafkaServer, given_up: Group, start: StartFlower, look: Look
) -> None:
    flower = start(given_up, **environ(kafka))
    found = kind(look, flower, "ValueError")
    expect(found).to_contain_text("exhausted")
    expect(found).to_contain_text(f"{given_up.topics[0]} → {given_up.topics[0]}.dlq")
    command, *arguments = shlex.split(found.locator(".lanes-copy code").inner_text())
    env = {**os.environ, **environ(kafka)}
    ended = subprocess.run(
        [str(SCRIPTS / command), *arguments], cwd=flower.folder, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("2 dead letters would be replayed:")


def test_they_are_replayed_after_what_it_would_do_was_shown(
    kafka: KafkaServer, given_up: Group, start: StartFlower, look: Look
) -> None:
    flower, topic = start(given_up, "--basic_auth=anna:secret", **environ(kafka)), given_up.topics[0]
    found = kind(look, flower, "ValueError", login="anna:secret")
    found.get_by_role("button", name="Replay …").click()
    expect(found.locator("pre")).to_contain_text("2 dead letters would be replayed:", timeout=SOON_MS)
    expect(found.locator("pre")).to_contain_text(f"to {topic}[0]")
    assert not records_of(kafka.bootstrap_servers, topic)
    found.get_by_role("button", name="Write them back").click()
    expect(found.locator("pre")).to_contain_text("2 dead letters replayed:", timeout=SOON_MS)
    assert [(found[KEY], found[VALUE]) for found in records_of(kafka.bootstrap_servers, topic)] == [
        (b"key", b"value")
    ] * 2
    assert f"anna replayed {topic}.dlq: 2 dead letters replayed" in flower.log.read_text()


def test_replaying_needs_what_acting_needs(kafka: KafkaServer, given_up: Group, start: StartFlower, look: Look) -> None:
    flower = start(given_up, **environ(kafka))
    assert flower.ask("/lanes/api/replay", b"{}", {"X-Lanebridge-Act": "1"})[0] == 401
    expect(kind(look, flower, "ValueError").get_by_role("button", name="Replay …")).to_be_disabled()
    assert not records_of(kafka.bootstrap_servers, given_up.topics[0])


def test_a_preview_shows_headers_and_no_values(
    kafka: KafkaServer, given_up: Group, start: StartFlower, look: Look
) -> None:
    found = kind(look, start(given_up, **environ(kafka)), "Odd")
    found.get_by_role("button", name="Show the newest").click()
    expect(found).to_contain_text("orders.store", timeout=SOON_MS)
    expect(found).to_contain_text(MARKUP)
    expect(found).to_contain_text("--show-values")
    expect(found.locator("pre")).to_have_count(0)
    assert found.page.evaluate("window.ran") is None
    assert found.locator("img").count() == 0


def test_values_are_shown_when_the_command_says_so(
    kafka: KafkaServer, given_up: Group, start: StartFlower, look: Look
) -> None:
    found = kind(look, start(given_up, "--show-values", **environ(kafka)), "Odd")
    found.get_by_role("button", name="Show the newest").click()
    expect(found.locator("pre").nth(1)).to_contain_text(MARKUP, timeout=SOON_MS)
    assert found.page.evaluate("window.ran") is None


def test_no_other_topic_can_be_read(kafka: KafkaServer, given_up: Group, start: StartFlower) -> None:
    flower = start(given_up, "--show-values", **environ(kafka))
    place = urlencode({"topic": given_up.topics[0], "partition": 0, "offset": 0})
    status, text, _ = flower.ask(f"/lanes/api/letter?{place}")
    assert status == 503
    assert json.loads(text)["error"] == f"{given_up.topics[0]} is no dead letter topic of this app"


def test_a_silent_kafka_is_said(given_up: Group, start: StartFlower, look: Look) -> None:
    page = look(start(given_up), may_complain=True)
    page.get_by_role("button", name="Read them").click()
    letters = page.get_by_role("region", name="Dead letters")
    expect(letters.get_by_role("alert")).to_contain_text("127.0.0.1:1", timeout=SOON_MS)
