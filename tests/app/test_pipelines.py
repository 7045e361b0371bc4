"""What a pipeline may be, said when it is declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, group

from bridge import Bridge, Record, Retry
from bridge.runtime.plan import LinkPlan
from bridge.settings import Misconfigured
from tests.app.apps import Shop


def _problems(bridge: Bridge, topics: Any = "orders", **options: Any) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as error:
        bridge.pipeline(topics, **options)
    assert bridge.pipelines == ()
    return error.value.problems


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_a_pipeline_has_the_documented_defaults(bridge: Bridge, shop: Shop) -> None:
    pipeline = bridge.pipeline("orders", chain=shop.store.s())
    assert bridge.pipelines == (pipeline,)
    assert (pipeline.name, pipeline.topics) == ("orders", ("orders",))
    assert pipeline.links == (LinkPlan("shop.store"),)
    assert (pipeline.on_failed, pipeline.decode, pipeline.compression) == (None, "raw", "none")
    rules = pipeline.rules
    assert (rules.on_exhausted, rules.on_failed, rules.dead_letter_topic) == ("dead_letter", "", "{topic}.dlq")
    assert (rules.name, rules.tasks, rules.close_batch) == ("orders", ("shop.store",), None)
    assert (rules.batch_size, rules.batch_bytes, rules.batch_timeout) == (100, 1_000_000, 1.0)
    assert (rules.order_by, rules.lanes, rules.rule) == ("partition", 1, "partition")
    assert (rules.retry, rules.link_timeout, pipeline.link_timeout) == (Retry(), 300.0, 300.0)
    assert (rules.max_batches_per_chain, rules.train_target) == (16, 0.05)


def test_a_pipeline_has_the_options_it_was_given(bridge: Bridge, shop: Shop) -> None:
    def closes(record: Record, batch: object) -> bool:
        return record.key is None

    pipeline = bridge.pipeline(
        ["orders", "refunds"],
        chain=shop.parse.s() | shop.store.s("table"),
        batch_size=500,
        batch_bytes=2_000_000,
        batch_timeout=0,
        close_batch=closes,
        order_by="key",
        lanes=4,
        retry=Retry(max_attempts=2),
        on_exhausted="stop",
        dead_letter_topic="dead.{topic}",
        link_timeout=60,
        max_batches_per_chain=4,
        train_target=1,
        compression="lz4",
        name="shop",
    )
    rules = pipeline.rules
    assert (pipeline.name, pipeline.topics, pipeline.compression) == ("shop", ("orders", "refunds"), "lz4")
    assert (rules.batch_size, rules.batch_bytes, rules.batch_timeout) == (500, 2_000_000, 0.0)
    assert (rules.close_batch, rules.retry, rules.rule) == (closes, Retry(max_attempts=2), "key:4")
    assert (rules.tasks, rules.links) == (("shop.parse", "shop.store"), 2)
    assert (rules.on_exhausted, rules.dead_letter_topic, rules.link_timeout) == ("stop", "dead.{topic}", 60.0)
    assert (rules.max_batches_per_chain, rules.train_target) == (4, 1.0)
    assert rules.dead_letters_of("orders") == "dead.orders"


def test_none_stands_for_the_default(bridge: Bridge, shop: Shop) -> None:
    pipeline = bridge.pipeline("orders", chain=shop.store.s(), close_batch=None, name=None)
    assert (pipeline.name, pipeline.rules.close_batch) == ("orders", None)


def test_without_a_name_the_topics_are_the_name(bridge: Bridge, shop: Shop) -> None:
    assert bridge.pipeline(["a", "^b-.*"], chain=shop.store.s()).name == "a,^b-.*"


def test_a_link_keeps_its_arguments_and_options(bridge: Bridge, shop: Shop) -> None:
    chain = shop.parse.s().set(queue="fast", priority=5) | shop.store.s("table", schema="x").set(
        time_limit=60, soft_time_limit=50
    )
    assert bridge.pipeline("orders", chain=chain).links == (
        LinkPlan("shop.parse", options={"queue": "fast", "priority": 5}),
        LinkPlan("shop.store", ("table",), {"schema": "x"}, {"time_limit": 60.0, "soft_time_limit": 50.0}),
    )


def test_chains_in_chains_are_one_chain(bridge: Bridge, shop: Shop) -> None:
    from celery import chain

    nested = chain(shop.parse.s(), chain(shop.parse.s(), chain(shop.parse.s(), shop.store.s("t"))))
    assert [link.task for link in bridge.pipeline("orders", chain=nested).links] == ["shop.parse"] * 3 + ["shop.store"]


def test_a_task_alone_is_a_chain_of_one(bridge: Bridge, shop: Shop) -> None:
    assert bridge.pipeline("orders", chain=shop.store).links == (LinkPlan("shop.store"),)


def test_a_link_may_be_named_before_its_task_is_known(bridge: Bridge, shop: Shop) -> None:
    assert bridge.pipeline("orders", chain=shop.app.signature("later.store")).links == (LinkPlan("later.store"),)


# --- options ----------------------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[Any, str]] = {
    "max_batches_per_chain": (
        0,
        "max_batches_per_chain=0: max_batches_per_chain must be an integer from 1 to 256 (batches). "
        "Set it to 1, for example, or leave it out for the default 16.",
    ),
    "train_target": (
        0,
        "train_target=0: train_target must be a number from 0.001 to 60 (seconds). "
        "Set it to 0.2, for example, or leave it out for the default 0.05.",
    ),
    "batch_size": (
        "many",
        "batch_size='many': batch_size must be an integer from 1 to 100000 (records). "
        "Set it to 500, for example, or leave it out for the default 100.",
    ),
    "batch_bytes": (
        0,
        "batch_bytes=0: batch_bytes must be an integer from 1 to 268435456 (bytes). "
        "Set it to 4000000, for example, or leave it out for the default 1000000.",
    ),
    "batch_timeout": (
        -0.5,
        "batch_timeout=-0.5: batch_timeout must be a number from 0 to 3600 (seconds). "
        "Set it to 0.2, for example, or leave it out for the default 1.",
    ),
    "close_batch": (
        lambda record: True,
        "close_batch=<function>: close_batch must be a function close_batch(record, batch) -> bool. "
        "Set it to lambda record, batch: record.key is None, for example, or leave it out for the default (none).",
    ),
    "order_by": (
        "offset",
        'order_by=\'offset\': order_by must be "partition" or "key". '
        'Set it to "key", for example, or leave it out for the default partition.',
    ),
    "lanes": (
        8.0,
        "lanes=8.0: lanes must be an integer from 1 to 1024 (lanes). "
        "Set it to 16, for example, or leave it out for the default 8.",
    ),
    "retry": (
        5,
        "retry=5: retry must be a Retry. Set it to Retry(max_attempts=5, delay=1.0, max_delay=60.0), for example, "
        "or leave it out for the default (Retry()).",
    ),
    "on_exhausted": (
        "dlq",
        'on_exhausted=\'dlq\': on_exhausted must be "dead_letter", "skip" or "stop". '
        'Set it to "stop", for example, or leave it out for the default dead_letter.',
    ),
    "decode": (
        "avro",
        'decode=\'avro\': decode must be "raw", "json" or a function decode(record) -> object. '
        'Set it to "json", for example, or leave it out for the default raw.',
    ),
    "dead_letter_topic": (
        "{group}.dlq",
        "dead_letter_topic='{group}.dlq': dead_letter_topic must be a topic name, with {topic} for the topic that the "
        'record came from. Set it to "dead-letters", for example, or leave it out for the default {topic}.dlq.',
    ),
    "link_timeout": (
        True,
        "link_timeout=True: link_timeout must be a number from 0.1 to 86400 (seconds). "
        "Set it to 900, for example, or leave it out for the default 300.",
    ),
    "compression": (
        "gzip",
        'compression=\'gzip\': compression must be "none", "lz4" or "zstd". '
        'Set it to "zstd", for example, or leave it out for the default none.',
    ),
    "name": (
        "",
        "name='': name must be a text that is not empty. "
        'Set it to "orders", for example, or leave it out for the default (its topics).',
    ),
    "batch_sise": (5, "there is no option batch_sise; did you mean batch_size?"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_wrong_option_is_named_with_its_value_and_the_remedy(bridge: Bridge, shop: Shop, name: str) -> None:
    value, text = OPTIONS[name]
    assert _problems(bridge, chain=shop.store.s(), **{name: value}) == (f"Pipeline 'orders': {text}",)


@pytest.mark.parametrize("template", ["{topic}", "{topic", "my topic", "", "{}", "{topic!x}.dlq ", 5])
def test_a_dead_letter_topic_must_give_a_topic_name(bridge: Bridge, shop: Shop, template: Any) -> None:
    (problem,) = _problems(bridge, chain=shop.store.s(), dead_letter_topic=template)
    assert "dead_letter_topic must be a topic name, with {topic}" in problem


def test_attempts_are_whole(bridge: Bridge, shop: Shop) -> None:
    assert _problems(bridge, chain=shop.store.s(), retry=Retry(max_attempts=2.5)) == (  # type: ignore[arg-type]
        "Pipeline 'orders': retry=<Retry>: max_attempts must be an integer. "
        "Set it to Retry(max_attempts=5), for example.",
    )


def test_all_that_is_wrong_with_a_pipeline_is_said_together(bridge: Bridge, shop: Shop) -> None:
    problems = _problems(bridge, "my topic", chain=shop.store, batch_size=0, lanes=0)
    assert [problem.split(": ")[1].split("=")[0] for problem in problems] == [
        "topic 'my topic' is no topic name",
        "batch_size",
        "lanes",
    ]


# --- decoding ---------------------------------------------------------------------------------------------------------


def _decode(record: Record) -> object:
    return record.value


@pytest.mark.parametrize("decode", ["raw", "json", _decode, lambda record, strict=True: record, bytes])
def test_a_decoder_is_a_word_or_a_function_of_a_record(bridge: Bridge, shop: Shop, decode: Any) -> None:
    assert bridge.pipeline("orders", chain=shop.store.s(), decode=decode).decode is decode


@pytest.mark.parametrize("decode", [lambda: 1, lambda value, context: 1, 5, b"json", ["json"], "JSON"])
def test_anything_else_is_no_decoder(bridge: Bridge, shop: Shop, decode: Any) -> None:
    (problem,) = _problems(bridge, chain=shop.store.s(), decode=decode)
    assert 'decode must be "raw", "json" or a function decode(record) -> object' in problem


def test_a_deserializer_of_confluent_must_be_wrapped_and_how_is_said(bridge: Bridge, shop: Shop) -> None:
    from confluent_kafka.serialization import StringDeserializer

    assert _problems(bridge, chain=shop.store.s(), decode=StringDeserializer()) == (
        "Pipeline 'orders': decode=<StringDeserializer>: a deserializer takes a value and a context, not a record. "
        "Wrap it: lambda record: deserializer(record.value, SerializationContext(record.topic, MessageField.VALUE)).",
    )


def test_a_task_is_no_decoder(bridge: Bridge, shop: Shop) -> None:
    (problem,) = _problems(bridge, chain=shop.store.s(), decode=shop.store)
    assert "a task is no decoder. Make it an ordinary function that the task may call, too." in problem


def test_a_decoder_that_must_be_awaited_is_refused(bridge: Bridge, shop: Shop) -> None:
    async def decode(record: Record) -> object:
        return record

    assert _problems(bridge, chain=shop.store.s(), decode=decode) == (
        "Pipeline 'orders': decode=<function>: tasks do not await. Make it an ordinary function.",
    )


# --- failed records ---------------------------------------------------------------------------------------------------


def test_a_task_may_decide_about_failed_records(bridge: Bridge, shop: Shop) -> None:
    hook = shop.report.s("table", why="x").set(queue="slow", priority=3, time_limit=60, soft_time_limit=50)
    pipeline = bridge.pipeline("orders", chain=shop.store.s(), on_failed=hook)
    assert pipeline.on_failed == LinkPlan(
        "shop.report",
        ("table",),
        {"why": "x"},
        {"queue": "slow", "priority": 3, "time_limit": 60.0, "soft_time_limit": 50.0},
    )
    assert (pipeline.rules.on_failed, pipeline.rules.tasks) == ("shop.report", ("shop.store",))


def test_the_task_itself_will_do(bridge: Bridge, shop: Shop) -> None:
    assert bridge.pipeline("orders", chain=shop.store.s(), on_failed=shop.report).on_failed == LinkPlan("shop.report")


NAME_ONE = "Remedy: name a BatchTask, on_failed=decide.s()."
HOOKS: dict[str, tuple[Callable[[Shop], Any], str]] = {
    "a chain": (
        lambda shop: shop.parse.s() | shop.report.s(),
        f"on_failed is a chain: one task decides. {NAME_ONE}",
    ),
    "a group": (
        lambda shop: group(shop.report.s(), shop.report.s()),
        f"on_failed is a group: one task decides. {NAME_ONE}",
    ),
    "a chord": (
        lambda shop: chord([shop.parse.s(), shop.parse.s()], shop.report.s()),
        f"on_failed is a chord: one task decides. {NAME_ONE}",
    ),
    "a map": (lambda shop: shop.report.map([1]), f"on_failed is a map: one task decides. {NAME_ONE}"),
    "a function": (lambda shop: len, f"on_failed=len is no task. {NAME_ONE}"),
    "a word": (lambda shop: "skip", f"on_failed=str is no task. {NAME_ONE}"),
    "immutable": (
        lambda shop: shop.report.si(),
        "on_failed (shop.report) is immutable, but every link is called with its record or batch. "
        "Remedy: write report.s(...).",
    ),
    "a callback": (
        lambda shop: shop.report.s().set(link=shop.plain.s()),
        "on_failed (shop.report) has link=...: callbacks run outside the order of the lane. "
        "Remedy: make it another link of the chain.",
    ),
    "a countdown": (
        lambda shop: shop.report.s().set(countdown=5),
        "on_failed (shop.report) has countdown=...: a lane runs its batches in order, as soon as it can. "
        "Remedy: remove it; retry=Retry(delay=...) waits.",
    ),
    "a priority that is none": (
        lambda shop: shop.report.s().set(priority="high"),
        "on_failed (shop.report) has priority='high': priority must be an integer from 0 to 255. "
        "Set it to 5, for example, or leave it out for the default (the task's).",
    ),
}


@pytest.mark.parametrize("case", HOOKS)
def test_what_cannot_decide_is_refused_with_the_remedy(bridge: Bridge, shop: Shop, case: str) -> None:
    make, text = HOOKS[case]
    assert _problems(bridge, chain=shop.store.s(), on_failed=make(shop)) == (f"Pipeline 'orders': {text}",)


@pytest.mark.parametrize("word", ["skip", "stop"])
def test_either_a_task_decides_or_a_word(bridge: Bridge, shop: Shop, word: Any) -> None:
    problems = _problems(bridge, chain=shop.store.s(), on_failed=shop.report.s(), on_exhausted=word)
    assert problems == (
        f"Pipeline 'orders': on_exhausted='{word}' and on_failed are both set: the task decides for each record. "
        "Remedy: leave one of them out.",
    )
    bridge.pipeline("orders", chain=shop.store.s(), on_failed=shop.report.s(), on_exhausted="dead_letter")


def test_a_pipeline_says_which_exceptions_are_tried_again(bridge: Bridge, shop: Shop) -> None:
    retry = Retry(give_up_on=(KeyError,), retry_on=(OSError, LookupError))
    assert bridge.pipeline("orders", chain=shop.store.s(), retry=retry).rules.retry is retry


# --- topics -----------------------------------------------------------------------------------------------------------

NAME = "a name has up to 249 letters, digits, dots, underscores and dashes. Remedy: correct it"
TOPICS: dict[str, tuple[Any, str]] = {
    "a blank": ("my topic", f"Pipeline 'my topic': topic 'my topic' is no topic name: {NAME}."),
    "several in one text": (
        "orders,refunds",
        f"Pipeline 'orders,refunds': topic 'orders,refunds' is no topic name: {NAME}; several topics are a list.",
    ),
    "too long": ("x" * 250, f"Pipeline '{'x' * 250}': topic '{'x' * 250}' is no topic name: {NAME}."),
    "two dots": ("..", f"Pipeline '..': topic '..' is no topic name: {NAME}."),
    "no regular expression": (
        "^orders-(",
        "Pipeline '^orders-(': topic '^orders-(' is no regular expression (missing ), unterminated subpattern at "
        "position 8). Remedy: correct it.",
    ),
    "none": (
        [],
        "Pipeline []: topics must be a topic name, a list of them, or a regular expression that begins with ^. "
        'Remedy: "orders", ["orders", "refunds"] or "^orders-.*".',
    ),
    "no text": (
        [b"orders"],
        "Pipeline [b'orders']: topics must be a topic name, a list of them, or a regular expression that begins with "
        '^. Remedy: "orders", ["orders", "refunds"] or "^orders-.*".',
    ),
    "twice": (
        ["orders", "orders"],
        "Pipeline 'orders': topic 'orders' is there twice. Remedy: name it once.",
    ),
}


@pytest.mark.parametrize("case", TOPICS)
def test_topics_that_cannot_be_are_refused(bridge: Bridge, shop: Shop, case: str) -> None:
    topics, text = TOPICS[case]
    assert _problems(bridge, topics, chain=shop.store.s()) == (text,)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("orders", "orders", "orders"),
        (["a", "orders"], ["orders", "b"], "orders"),
        ("^orders-.*", "orders-eu", "orders-eu"),
        ("orders-eu", "^orders", "^orders"),
        ("^orders", "^orders", "^orders"),
    ],
)
def test_a_topic_in_two_pipelines_is_refused(bridge: Bridge, shop: Shop, first: Any, second: Any, shared: str) -> None:
    kept = bridge.pipeline(first, chain=shop.store.s(), name="first")
    with pytest.raises(Misconfigured) as error:
        bridge.pipeline(second, chain=shop.store.s(), name="second")
    assert str(error.value) == (
        f"Pipeline 'second': topic '{shared}' is also one of pipeline 'first' (topics {', '.join(kept.topics)}). "
        "Remedy: a topic belongs to one pipeline, take it out of one of them."
    )
    assert bridge.pipelines == (kept,)


def test_two_pipelines_have_two_names(bridge: Bridge, shop: Shop) -> None:
    bridge.pipeline("orders", chain=shop.store.s(), name="shop")
    with pytest.raises(Misconfigured) as error:
        bridge.pipeline("refunds", chain=shop.store.s(), name="shop")
    assert str(error.value) == (
        "Pipeline 'shop': another pipeline has this name. Remedy: name=... gives it one of its own."
    )


@pytest.mark.parametrize(
    ("topics", "template", "back"),
    [
        (["orders", "orders.dlq"], "{topic}.dlq", "orders.dlq"),
        (["orders", "^.*dlq"], "{topic}.dlq", "orders.dlq"),
        ("orders", "orders", "orders"),
        ("^orders", "orders-dead", "orders-dead"),
    ],
)
def test_dead_letters_must_not_come_back_to_their_own_pipeline(
    bridge: Bridge, shop: Shop, topics: Any, template: str, back: str
) -> None:
    (problem,) = _problems(bridge, topics, chain=shop.store.s(), dead_letter_topic=template, name="shop")
    assert problem == (
        f"Pipeline 'shop': dead_letter_topic='{template}': its dead letters would come back to it, {back} is one of "
        "its topics. Remedy: name another topic, or take this one out of its topics."
    )


def test_dead_letters_of_one_pipeline_may_be_the_topic_of_another(bridge: Bridge, shop: Shop) -> None:
    bridge.pipeline("orders", chain=shop.store.s())
    bridge.pipeline("orders.dlq", chain=shop.store.s(), on_exhausted="stop")
    assert len(bridge.pipelines) == 2


# --- chains -----------------------------------------------------------------------------------------------------------

CHAIN_ONLY = "a lane runs one link after the other. Remedy: chain its tasks, a.s() | b.s()."
CHAINS: dict[str, tuple[Callable[[Shop], Any], str]] = {
    "a group": (lambda shop: group(shop.parse.s(), shop.parse.s()), f"link 1 (celery.group) is a group: {CHAIN_ONLY}"),
    "a group in a chain": (
        lambda shop: shop.parse.s() | group(shop.store.s(), shop.store.s()),
        f"link 2 (celery.group) is a group: {CHAIN_ONLY}",
    ),
    "a chord": (
        lambda shop: chord([shop.parse.s(), shop.parse.s()], shop.store.s()),
        f"link 1 (celery.chord) is a chord: {CHAIN_ONLY}",
    ),
    "a map": (
        lambda shop: shop.parse.map([1, 2]),
        "link 1 (celery.map) is a map over arguments: a link gets its records from Kafka. "
        "Remedy: use a BatchTask, it gets them all at once.",
    ),
    "a starmap": (
        lambda shop: shop.parse.starmap([(1,), (2,)]),
        "link 1 (celery.starmap) is a map over arguments: a link gets its records from Kafka. "
        "Remedy: use a BatchTask, it gets them all at once.",
    ),
    "chunks": (
        lambda shop: shop.parse.chunks([(1,), (2,)], 1),
        "link 1 (celery.chunks) is a map over arguments: a link gets its records from Kafka. "
        "Remedy: use a BatchTask, it gets them all at once.",
    ),
    "an immutable link": (
        lambda shop: shop.parse.s() | shop.store.si("table"),
        "link 2 (shop.store) is immutable, but every link is called with its record or batch. "
        "Remedy: write store.s(...).",
    ),
    "a callback": (
        lambda shop: shop.store.s().set(link=shop.plain.s()),
        "link 1 (shop.store) has link=...: callbacks run outside the order of the lane. "
        "Remedy: make it another link of the chain.",
    ),
    "an error callback": (
        lambda shop: shop.store.s().on_error(shop.plain.s()),
        "link 1 (shop.store) has link_error=...: errors of a lane are handled in its order. "
        "Remedy: remove it; on_failed=... names a task that is asked about failed records.",
    ),
    "an error callback of the whole chain": (
        lambda shop: (shop.parse.s() | shop.store.s()).on_error(shop.plain.s()),
        "chain has link_error=...: errors of a lane are handled in its order. "
        "Remedy: remove it; on_failed=... names a task that is asked about failed records.",
    ),
    "an option of the whole chain": (
        lambda shop: (shop.parse.s() | shop.store.s()).set(queue="fast"),
        "chain has queue=...: it is set on the whole chain. Remedy: set it on its links.",
    ),
    "a countdown": (
        lambda shop: shop.store.s().set(countdown=10),
        "link 1 (shop.store) has countdown=...: a lane runs its batches in order, as soon as it can. "
        "Remedy: remove it; retry=Retry(delay=...) waits.",
    ),
    "an expiry": (
        lambda shop: shop.store.s().set(expires=10),
        "link 1 (shop.store) has expires=...: a batch that expires would be lost. "
        "Remedy: remove it; link_timeout limits how long a link may run.",
    ),
    "a retry policy": (
        lambda shop: shop.store.s().set(retry=True),
        "link 1 (shop.store) has retry=...: the bridge publishes a link again by itself. "
        "Remedy: remove it; retry=Retry(...) says how often to try.",
    ),
    "an id": (
        lambda shop: shop.store.s().set(task_id="mine"),
        "link 1 (shop.store) has task_id=...: the bridge gives each link its id and its place. Remedy: remove it.",
    ),
    "a route": (
        lambda shop: shop.store.s().set(routing_key="x"),
        "link 1 (shop.store) has routing_key=...: a link goes to its lane's queue. "
        "Remedy: remove it, or name another queue with .set(queue=...).",
    ),
    "a serializer": (
        lambda shop: shop.store.s().set(serializer="pickle"),
        "link 1 (shop.store) has serializer=...: a link's message carries only a small handle, its records are stored "
        "apart. Remedy: remove it.",
    ),
    "an option that nobody knows": (
        lambda shop: shop.store.s().set(colour="red"),
        "link 1 (shop.store) has colour=...: a link takes queue, priority, time_limit, soft_time_limit only. "
        "Remedy: remove it.",
    ),
    "a priority that is none": (
        lambda shop: shop.store.s().set(priority="high"),
        "link 1 (shop.store) has priority='high': priority must be an integer from 0 to 255. "
        "Set it to 5, for example, or leave it out for the default (the task's).",
    ),
    "a time limit that is none": (
        lambda shop: shop.store.s().set(time_limit=0),
        "link 1 (shop.store) has time_limit=0: time_limit must be a number from 0.001 to 86400 (seconds). "
        "Set it to 60, for example, or leave it out for the default (the task's).",
    ),
    "a list": (
        lambda shop: [shop.parse.s(), shop.store.s()],
        "chain is a list. Remedy: join the links, chain=parse.s() | store.s().",
    ),
    "a function": (
        lambda shop: len,
        "chain is a function that is no task. Remedy: decorate it with @app.task(base=RecordTask) or base=BatchTask, "
        "and write chain=len.s().",
    ),
    "a name": (
        lambda shop: "shop.store",
        "chain is of type str. Remedy: give signatures of tasks, chain=parse.s() | store.s().",
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_that_cannot_keep_the_order_is_refused_with_the_remedy(bridge: Bridge, shop: Shop, case: str) -> None:
    make, text = CHAINS[case]
    assert _problems(bridge, chain=make(shop)) == (f"Pipeline 'orders': {text}",)


def test_an_empty_chain_is_refused(bridge: Bridge) -> None:
    from celery.canvas import _chain

    assert _problems(bridge, chain=_chain()) == (
        "Pipeline 'orders': chain is empty. Remedy: name at least one task, chain=store.s().",
    )
