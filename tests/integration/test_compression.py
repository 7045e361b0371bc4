"""Compressed payloads end to end: only the bridge is told, the worker sees it by the payload and passes it on so."""

from collections.abc import Callable
from pathlib import Path

from tests.integration.conftest import MakeWorld

APP = "tests.integration.apps.compressed"
PARTITIONS = 2
RECORDS = 110


def test_a_worker_that_is_not_told_reads_what_is_compressed_and_passes_it_on_so(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    with make_world(tmp_path, "compressed") as world:
        topics = {name: make_topic(f"{world.group}-{name}", PARTITIONS) for name in ("lz4", "zstd")}
        for topic in topics.values():
            world.produce(topic, (b"%d" % number for number in range(RECORDS)), partitions=PARTITIONS)
        world.worker(APP, TEST_TOPIC=world.group)
        bridge = world.bridge(APP, TEST_TOPIC=world.group, TEST_COMPRESSED="yes")

        assert bridge.exit_code == 0
        for name, topic in topics.items():
            assert world.committed(topic, PARTITIONS) == [55, 55]
            batches = world.journal(topic=topic)
            assert {tuple(found) for batch in batches for found in batch["found"]} == {(name,)}
            for partition in range(PARTITIONS):
                own = [batch for batch in batches if batch["partition"] == partition]
                numbers = list(range(partition, RECORDS, PARTITIONS))
                assert [offset for batch in own for offset in batch["offsets"]] == list(range(55))
                assert [number for batch in own for number in batch["numbers"]] == numbers
                assert [int(text) for batch in own for text in batch["texts"]] == numbers
