"""Two pipelines whose payloads are compressed, if this process is told so; each link notes how its own one is."""

import os

import redis
from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask
from bridge.ledger.compression import split_format
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "compressed")
REDIS_URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")

app = Celery("compressed", broker=REDIS_URL)
bridge = Bridge(app, group_id="compressed")


def compression_of(topic: str, partition: int, link: int) -> list[str]:
    """How the payloads in Redis are compressed that links of this number find there."""
    with redis.Redis.from_url(REDIS_URL) as client:
        keys = client.scan_iter(f"lanebridge:{{*/{topic}/{partition}}}:*-{link}", count=1000)
        return [split_format(blob[2])[0] for key in keys if (blob := client.get(key))]


@app.task(base=RecordTask)
def parse(record: Record) -> dict[str, object]:
    """First of two; finds what the bridge has written."""
    return {"number": int(record.value or b""), "found": compression_of(record.topic, record.partition, 1)}


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Second of two; finds what the first has written."""
    journal.write(
        topic=batch.topic,
        partition=batch.partition,
        offsets=[record.offset for record in batch],
        texts=[(record.value or b"").decode() for record in batch],
        numbers=[record.data["number"] for record in batch],
        found=[record.data["found"] for record in batch] + [compression_of(batch.topic, batch.partition, 2)],
    )


for name in ("lz4", "zstd"):
    bridge.pipeline(
        f"{TOPIC}-{name}",
        chain=parse.s() | store.s(),
        batch_size=20,
        batch_timeout=0.2,
        compression=name if os.environ.get("TEST_COMPRESSED") else "none",
    )
