"""The options of a pipeline. They are code: no variable, no flag."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from bridge.records import ClosePredicate, Decode, Retry
from bridge.settings.kinds import (
    Choice,
    Decoding,
    Integer,
    Number,
    Predicate,
    Retries,
    TaskSignature,
    Text,
    TopicTemplate,
)
from bridge.settings.option import REQUIRED, Option, table

_MIB = 1024 * 1024

#: what `pipeline` takes before its options
TOPICS = Option(
    Text("a topic name, a list of them, or a regular expression that begins with ^"),
    REQUIRED,
    "Whose records it carries. A topic belongs to one pipeline.",
    '"orders"',
    name="topics",
)
CHAIN = Option(
    Text("a RecordTask, a BatchTask, or a chain of them"),
    REQUIRED,
    "What each batch goes through, link by link.",
    "parse.s() | store.s()",
    name="chain",
)


class PipelineOptions(TypedDict, total=False):
    """What `bridge.pipeline(topics, chain=..., ...)` takes.

    `decode` with a schema registry, by one of Confluent's deserializers:

        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer
        from confluent_kafka.serialization import MessageField, SerializationContext

        deserializer = AvroDeserializer(SchemaRegistryClient({"url": "http://localhost:8081"}))

        def decode(record):
            return deserializer(record.value, SerializationContext(record.topic, MessageField.VALUE))

        bridge.pipeline("orders", chain=store.s(), decode=decode)
    """

    batch_size: Annotated[int, Option(Integer(1, 100_000), 100, "A batch closes with this many.", "500", "records")]
    batch_bytes: Annotated[
        int,
        Option(
            Integer(1, 256 * _MIB),
            1_000_000,
            "A batch closes before it has more than this; a larger record is a batch of its own.",
            "4000000",
            "bytes",
        ),
    ]
    batch_timeout: Annotated[
        float, Option(Number(0, 3600), 1.0, "A batch closes this long after its first record came.", "0.2", "seconds")
    ]
    close_batch: Annotated[
        ClosePredicate | None,
        Option(
            Predicate(),
            None,
            "Called with each record and the batch that ends with it: true closes the batch there.",
            "lambda record, batch: record.key is None",
            default_text="none",
        ),
    ]
    order_by: Annotated[
        Literal["partition", "key"],
        Option(
            Choice(("partition", "key")),
            "partition",
            "What keeps its order: a whole partition, or the records of a partition that have the same key.",
            '"key"',
        ),
    ]
    lanes: Annotated[
        int,
        Option(Integer(1, 1024), 8, 'With order_by="key": how many lanes a partition has.', "16", "lanes"),
    ]
    decode: Annotated[
        Literal["raw", "json"] | Decode,
        Option(
            Decoding(),
            "raw",
            "What record.data is until a RecordTask returns something else: nothing (raw), the value read as JSON, or "
            "what a function makes of the record. A record that cannot be decoded is given up without a retry, the "
            "rest goes on.",
            '"json"',
        ),
    ]
    retry: Annotated[
        Retry,
        Option(
            Retries(),
            Retry(),
            "How a batch that failed is tried again, in place and in order; give_up_on and retry_on say for which "
            "exceptions.",
            "Retry(max_attempts=5, delay=1.0, max_delay=60.0)",
            default_text="Retry()",
        ),
    ]
    on_exhausted: Annotated[
        Literal["dead_letter", "skip", "stop"],
        Option(
            Choice(("dead_letter", "skip", "stop")),
            "dead_letter",
            "What becomes of a record that is given up: out of attempts, rejected or not decodable. It goes to the "
            "dead letter topic, it is skipped, or its lane stops before it and waits for a person. All others go on.",
            '"stop"',
        ),
    ]
    on_failed: Annotated[
        Any,
        Option(
            TaskSignature(),
            None,
            "A BatchTask that gets the records that are given up, with the reasons in batch.failures, and returns "
            '"dead_letter", "skip" or "stop" for each. If it fails, they go to the dead letter topic.',
            "decide.s()",
            default_text="none: on_exhausted decides",
        ),
    ]
    dead_letter_topic: Annotated[
        str,
        Option(
            TopicTemplate(),
            "{topic}.dlq",
            "Where dead letters go. The topic must exist: until it does, a lane that has one waits and says so.",
            '"dead-letters"',
        ),
    ]
    link_timeout: Annotated[
        float,
        Option(
            Number(0.1, 86400),
            300.0,
            "After this long a link that runs is given up and its batch is tried again.",
            "900",
            "seconds",
        ),
    ]
    max_batches_per_chain: Annotated[
        int,
        Option(
            Integer(1, 256),
            16,
            "Under a backlog one chain carries up to so many consecutive batches, of at most batch_bytes in all: tasks "
            "see no difference, Celery has less to do. 1: each batch is a chain of its own.",
            "1",
            "batches",
        ),
    ]
    train_target: Annotated[
        float,
        Option(
            Number(0.001, 60),
            0.05,
            "A chain carries no more batches than its slowest link gets through in this time; a batch that takes "
            "longer goes alone.",
            "0.2",
            "seconds",
        ),
    ]
    compression: Annotated[
        Literal["none", "lz4", "zstd"],
        Option(
            Choice(("none", "lz4", "zstd")),
            "none",
            "How records are compressed while they are in Redis: less memory and traffic there, more processor time in "
            "bridge and workers; zstd makes them smaller than lz4 does, and costs more. batch_bytes, buffer_bytes and "
            "in_flight_bytes count them as they came, not compressed.",
            '"zstd"',
        ),
    ]
    name: Annotated[
        str | None,
        Option(
            Text(),
            None,
            "What views call the pipeline.",
            '"orders"',
            default_text="its topics",
        ),
    ]


PIPELINE_OPTIONS = table(PipelineOptions)
