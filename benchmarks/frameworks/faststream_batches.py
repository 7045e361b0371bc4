"""FastStream's batch subscriber, on confluent-kafka; values are left as they are, each batch is committed when it is
done."""

import asyncio
import os
from pathlib import Path
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaMessage

from benchmarks.seen import Seen

broker = KafkaBroker(os.environ["MEASURED_SERVERS"], logger=None)
seen = Seen(Path(os.environ["MEASURED_SEEN"]))


def as_it_is(message: KafkaMessage) -> Any:
    """No decoding."""
    return message.body


@broker.subscriber(
    os.environ["MEASURED_TOPIC"],
    group_id=os.environ["MEASURED_GROUP"],
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.ACK,
    batch=True,
    max_records=int(os.environ["MEASURED_BATCH"]),
    decoder=as_it_is,
)
async def store(values: list[bytes], message: KafkaMessage) -> None:
    """Nothing. Raises when a record is missing, comes again, or too early."""
    seen.take_messages(message.raw_message)


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
