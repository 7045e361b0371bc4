"""A lane that stands still says why: for each trouble all views, each read as people and programs read it, name the
true reason within 20 s, and what is no trouble is no alarm."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.devstack import KafkaServer, RedisServer
from bridge.devstack.ports import fresh_port
from tests.integration.world import ROOT, World
from tests.waiting import wait_until

APP = "tests.integration.apps.troubled"

#: seconds for a machine that others use, too; the product is meant to need 20
PATIENCE = 60.0

WAYS = ("nobody", "unknown", "dead", "stuck", "fails", "letters", "calm", "busy")


@dataclass(frozen=True)
class Trouble:
    """What every view must say of the topic, `error` what went wrong before. `notes`: /readyz names it without being
    unready because of it; `silent`: nor is it named there."""

    way: str
    states: frozenset[str]
    words: str
    error: str = ""
    notes: bool = False
    silent: bool = False


STALLED, RETRYING = frozenset({"stalled"}), frozenset({"retrying"})

TROUBLES = (
    Trouble("nobody", STALLED, "no worker consumes nobody"),
    Trouble("unknown", STALLED, "task tests.integration.apps.troubled.newer is not registered on"),
    Trouble("dead", STALLED, "no worker consumes dead", error="has given no sign of life"),
    Trouble("stuck", STALLED, "runs for more than link_timeout=2 s on"),
    Trouble("fails", RETRYING, "ValueError: no such account", notes=True),
    Trouble("letters", STALLED, "Kafka has no topic t-nowhere"),
    Trouble("calm", frozenset({"paused"}), "is paused by ann since", notes=True),
    Trouble("busy", frozenset({"running"}), "waiting for a free worker on busy", silent=True),
)


class Ward:
    """A bridge with HTTP, and Flower with the Lanes tab, on servers that can be stopped."""

    def __init__(self, world: World, **env: str) -> None:
        self.world = world
        self.http, self.flower = fresh_port(), fresh_port()
        self.gate = world.directory / "gate"
        self.env = {
            "TEST_TOPIC": "t",
            "TEST_GATE": str(self.gate),
            "BRIDGE_HTTP": f"127.0.0.1:{self.http}",
            "BRIDGE_CLAIM_TIMEOUT": "2",
            "BRIDGE_WORKER_TIMEOUT": "6",
            **env,
        }

    def begin(self, topics: dict[str, int], queues: dict[str, str]) -> None:
        """Topics with their partitions, workers with their queues, then bridge and Flower."""
        admin = AdminClient({"bootstrap.servers": self.world.servers, "log_level": 0})
        for future in admin.create_topics([NewTopic(*topic, 1) for topic in topics.items()]).values():
            future.result(30)
        self.workers = {
            name: self.world.worker(APP, "-P", "solo", "-n", f"{name}@%h", "-Q", queue, **self._role(name))
            for name, queue in queues.items()
        }
        self.bridge = self.world.start("bridge", "lanebridge", "-A", APP, "run", cwd=ROOT, **self.env)
        flower = ("celery", "-A", APP, "bridge", "flower", f"--port={self.flower}")
        self.world.start("flower", *flower, cwd=ROOT, **self.env)
        wait_until(lambda: self.ready()[0] == 200, PATIENCE, "a bridge that is ready")
        wait_until(lambda: self.tab() is not None, PATIENCE, "the Lanes tab")

    def _role(self, name: str) -> dict[str, str]:
        return {**self.env, "TEST_ROLE": name} if name == "other" else self.env

    # --- views -------------------------------------------------------------------------------------------------------

    def ready(self) -> tuple[int, str]:
        """What /readyz answers."""
        return _get(f"http://127.0.0.1:{self.http}/readyz")

    def metrics(self) -> list[str]:
        """The lines of /metrics."""
        return _get(f"http://127.0.0.1:{self.http}/metrics")[1].splitlines()

    def tab(self) -> str | None:
        """What the tab's stream brings first: everything that its page shows."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.flower}/lanes/api/stream", timeout=10) as stream:
                lines = iter(stream.readline, b"\n")
                return b"".join(lines).decode()
        except OSError:
            return None

    def command(self, *words: str) -> tuple[int, str]:
        """A command of lanebridge: exit code and what it printed."""
        process = self.world.run("command", "lanebridge", "-A", APP, *words, cwd=ROOT, **self.env)
        assert process.exit_code is not None
        return process.exit_code, process.log.read_text()

    def lanes(self) -> list[dict[str, Any]]:
        """`lanebridge lanes --json`."""
        code, text = self.command("lanes", "--json")
        assert code == 0, text
        found: list[dict[str, Any]] = json.loads(text)["lanes"]
        return found


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[KafkaServer, RedisServer]]:
    """Of this module alone: they are stopped."""
    with KafkaServer() as kafka, RedisServer() as redis:
        yield kafka, redis


@pytest.fixture(scope="module")
def ward(servers: tuple[KafkaServer, RedisServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    kafka, redis = servers
    with World(tmp_path_factory.mktemp("ward"), kafka.bootstrap_servers, redis.url, "ward") as world:
        ward = Ward(world)
        queues = {"first": "stuck,fails,letters,calm", "other": "unknown", "second": "busy", "dying": "dead"}
        ward.begin({f"t-{way}": 2 if way == "busy" else 1 for way in WAYS}, queues)
        assert ward.command("pause", "t-calm", "--as", "ann")[0] == 0
        for way in ("nobody", "unknown", "dead", "fails", "letters", "calm"):
            world.produce(f"t-{way}", [b"x"])
        world.produce("t-busy", [b"x", b"x"], partitions=2)
        wait_until(lambda: world.journal(began="t-dead"), PATIENCE, "a link on the worker that dies")
        ward.workers["dying"].signal(signal.SIGKILL)
        wait_until(lambda: len(ward.lanes()) == len(WAYS) + 1, PATIENCE, "all lanes")
        yield ward
        ward.gate.touch()


def silent_views(ward: Ward, trouble: Trouble) -> list[str]:
    """The views that do not say it now, with what they say instead."""
    topic = f"t-{trouble.way}"
    lanes = [lane for lane in ward.lanes() if lane["topic"] == topic]
    named = [lane for lane in lanes if lane["state"] in trouble.states and trouble.words in lane["reason"]]
    named = [lane for lane in named if trouble.error in (lane["last_error"] or "")]
    verdict = json.loads(ward.ready()[1])
    told = [line for line in verdict["notes" if trouble.notes else "reasons"] if topic in line]
    counted = [line for line in ward.metrics() if "lanebridge_partition_state{" in line and f'"{topic}"' in line]
    views = {
        f"lanes: {lanes}": bool(named),
        f"readyz: {told}": any(trouble.words in line for line in told) != trouble.silent,
        f"metrics: {counted}": any(f'"{state}"' in line for line in counted for state in trouble.states),
        "the tab": trouble.words in (ward.tab() or ""),
    }
    return [view for view, says_it in views.items() if not says_it]


def await_all(silent: Callable[[], list[str]]) -> None:
    """Until no view is silent."""
    seen: list[str] = []

    def look() -> bool:
        seen[:] = silent()
        return not seen

    try:
        wait_until(look, PATIENCE)
    finally:
        assert not seen, "\n".join(seen)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.way)
def test_every_view_says_why_the_lane_stands_still(ward: Ward, trouble: Trouble) -> None:
    if trouble.way == "stuck":
        ward.world.produce("t-stuck", [b"x"])  # it holds up whatever else its worker has to do
    await_all(lambda: silent_views(ward, trouble))


def test_a_table_of_lanes_names_each_reason(ward: Ward) -> None:
    code, text = ward.command("lanes")
    assert code == 0
    told = " ".join(text.split())
    for words in ("no worker consumes nobody", "is paused by ann", "ValueError: no such account"):
        assert words in told


def test_an_outage_is_named_by_its_brake_and_a_service_that_is_away_by_its_name(
    servers: tuple[KafkaServer, RedisServer], tmp_path: Path
) -> None:
    kafka, redis = servers
    url = f"{redis.url.rpartition('/')[0]}/3"
    with World(tmp_path, kafka.bootstrap_servers, url, "outage") as world:
        ward = Ward(world, TEST_TOPIC="u", TEST_OUTAGE="1")
        ward.begin({"u-outage": 4, "u-outage.dlq": 1}, {"first": "outage"})
        world.produce("u-outage", [b"x"] * 4, partitions=4)
        await_all(lambda: _without_brake(ward))
        redis.stop()
        wait_until(lambda: _names(ward, "ledger", "lanebridge_ledger_up 0.0"), PATIENCE, "Redis away in every view")
        code, text = ward.command("lanes")
        assert (code, "the ledger" in text, "cannot be read" in text) == (1, True, True)
        redis.start()
        wait_until(lambda: ward.ready()[0] == 200, PATIENCE, "readiness again")
        kafka.stop()
        wait_until(lambda: _names(ward, "Kafka", "lanebridge_kafka_up 0.0"), PATIENCE, "Kafka away in every view")
        kafka.start()
        wait_until(lambda: ward.ready()[0] == 200, PATIENCE, "readiness again")


def _without_brake(ward: Ward) -> list[str]:
    lanes, verdict, words = ward.lanes(), json.loads(ward.ready()[1]), "outage brake"
    views = {
        f"lanes: {lanes}": all(words in lane["reason"] and lane["state"] == "retrying" for lane in lanes),
        f"readyz: {verdict}": any(words in note for note in verdict["notes"]),
        "metrics": "lanebridge_brake_holding 1.0" in ward.metrics(),
        "the tab": words in (ward.tab() or ""),
    }
    return [view for view, says_it in views.items() if not says_it]


def _names(ward: Ward, service: str, metric: str) -> bool:
    code, text = ward.ready()
    return code == 503 and service in text and metric in ward.metrics()
