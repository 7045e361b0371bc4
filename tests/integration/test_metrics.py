"""A real bridge's /metrics against what is known of its Kafka, its dead letters and what its tasks wrote down."""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.devstack import KafkaServer, RedisServer
from bridge.devstack.ports import LOOPBACK, fresh_port
from tests.faults.rig import Process
from tests.integration.world import World
from tests.kafka.letters import records_of
from tests.promtool import WHY_NOT, promtool
from tests.waiting import wait_until

APP = "tests.integration.apps.metered"

#: by turns to partitions 0 and 1
VALUES = [b"good"] * 50
VALUES[26] = b"bad"  # offset 13 of partition 0
VALUES[9] = VALUES[43] = b"odd"  # offsets 4 and 21 of partition 1
PARTITIONS = 2


class Bridge:
    """A bridge process, and what it serves."""

    def __init__(self, world: World, topic: str) -> None:
        self.address = f"{LOOPBACK}:{fresh_port()}"
        self.process: Process = world.start(
            "bridge", "lanebridge", "-A", APP, "run", BRIDGE_HTTP=self.address, TEST_TOPIC=topic
        )

    def scrape(self) -> bytes:
        """The page as it is."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            text: bytes = answer.read()
            return text

    def values(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by these labels, those that are 0 left out; nothing before the bridge serves."""
        try:
            text = self.scrape().decode()
        except OSError:
            assert self.process.exit_code is None, self.process.tail()
            return {}
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        found = {tuple(each.labels[label] for label in labels): each.value for each in samples if each.name == name}
        return {key: value for key, value in found.items() if value}

    def value(self, name: str) -> float:
        """The value of a metric without labels, or of the only topic."""
        return sum(self.values(name).values())


def _chains(entries: list[dict[str, Any]]) -> tuple[Counter[tuple[str, ...]], int]:
    """The batches by trigger, and how many more chains there were with records of them."""
    reach: dict[int, int] = {}
    batches: Counter[tuple[str, ...]] = Counter()
    for entry in entries:
        first, last = entry["offsets"][0], entry["offsets"][-1]
        if first > reach.get(entry["partition"], -1):
            batches[entry["trigger"],] += 1
        reach[entry["partition"]] = max(last, reach.get(entry["partition"], -1))
    return batches, len(entries) - batches.total()


def test_the_numbers_are_those_of_kafka_the_tasks_and_the_dead_letters(
    kafka: KafkaServer, make_topic: Callable[..., str], topic_name: str, tmp_path: Path
) -> None:
    topic = make_topic(topic_name, PARTITIONS)
    dead_letters = make_topic(f"{topic}.dlq")
    with (
        RedisServer() as redis,
        World(tmp_path, kafka.bootstrap_servers, redis.url, f"metered-{os.getpid()}") as world,
    ):
        world.produce(topic, VALUES, partitions=PARTITIONS)
        worker = world.worker(APP, "-P", "solo", TEST_TOPIC=topic)
        bridge = Bridge(world, topic)
        committed = {(str(partition),): 25.0 for partition in range(PARTITIONS)}
        wait_until(lambda: bridge.values("lanebridge_committed_offset", "partition") == committed, 60.0, "the commits")

        assert world.committed(topic, PARTITIONS) == world.ends(topic, PARTITIONS) == [25, 25]
        for name in ("position_offset", "fetched_offset"):
            assert bridge.values(f"lanebridge_{name}", "partition") == committed
        # Kafka is asked every few seconds, and what is not known yet is missing
        wait_until(lambda: bridge.values("lanebridge_end_offset", "partition") == committed, 60.0, "the ends")
        assert bridge.values("lanebridge_lag", "partition") == {}
        assert bridge.value("lanebridge_records_finished_total") == len(VALUES)

        chains = world.journal()
        batches, retries = _chains(chains)
        assert bridge.values("lanebridge_batches_total", "trigger") == batches
        assert bridge.value("lanebridge_batch_size_records_sum") == len(VALUES)
        assert bridge.value("lanebridge_batch_size_records_count") == batches.total()
        assert bridge.value("lanebridge_chain_round_trip_seconds_count") == len(chains)
        assert bridge.value("lanebridge_retries_total") == retries >= 2
        failed = world.journal(failed="bad")
        assert (
            bridge.values("lanebridge_chain_failures_total", "kind") == {("failed",): len(failed)} == {("failed",): 3}
        )

        letters = Counter(
            (dict(each[4])["lanebridge.disposition"] or b"").decode()
            for each in records_of(world.servers, dead_letters)
        )
        assert letters == {"exhausted": 1, "rejected": 2}
        disposed = bridge.values("lanebridge_records_disposed_total", "disposition")
        assert disposed == {(name,): count for name, count in letters.items()}
        assert bridge.values("lanebridge_dead_letters_pending") == {}

        assert bridge.value("lanebridge_commits_total") >= 2
        assert set(bridge.values("lanebridge_rebalances_total", "kind")) == {("assigned",)}
        assert bridge.values("lanebridge_lanes", "state") == {("idle",): 2}
        assert [bridge.value(f"lanebridge_{name}") for name in ("alive", "ready", "kafka_up", "ledger_up")] == [1] * 4
        assert bridge.values("lanebridge_errors_total", "service") == {}
        (tmp_path / "metrics").write_bytes(bridge.scrape())

        worker.stop()
        redis.stop()
        wait_until(
            lambda: bridge.values("lanebridge_alive") and not bridge.values("lanebridge_ledger_up"), 30.0, "it says so"
        )
        wait_until(lambda: not bridge.values("lanebridge_ready"), 30.0, "it is not ready")
        assert bridge.value("lanebridge_alive") == 1
        assert bridge.value("lanebridge_records_finished_total") == len(VALUES)

    if not WHY_NOT:
        promtool("check", "metrics", text=(tmp_path / "metrics").read_bytes())


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_promtool_finds_what_is_wrong() -> None:
    """That it is content says something only if it sometimes is not."""
    with pytest.raises(AssertionError, match="no help text"):
        promtool("check", "metrics", text=b"# TYPE lanebridge_lag gauge\nlanebridge_lag 1\n")
