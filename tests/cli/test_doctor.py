"""`lanebridge doctor`: each check by itself, and the whole examination on real servers, healthy and not."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from confluent_kafka import Consumer, Producer

from bridge import Batch, BatchTask, Bridge
from bridge.cli.doctor import versions
from bridge.cli.doctor.celery_app import CHECKS as CELERY_CHECKS
from bridge.cli.doctor.declaration import plan_as_declared
from bridge.cli.doctor.findings import Finding, few
from bridge.cli.doctor.ledger import CHECKS as LEDGER_CHECKS
from bridge.cli.doctor.versions import look_at_versions
from bridge.cli.doctor.workers import judge_workers, needs_of
from bridge.devstack import KafkaServer, RedisServer
from bridge.entries import Heartbeat
from bridge.ledger.ledger import Ledger
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.plan import Plan
from tests.cli.conftest import Cli, WriteApp
from tests.waiting import wait_until

BEAT = Heartbeat("host.1", "host", "prefork", ("lane-0", "lane-1", "own"), ("parse", "store"), (), concurrency=4)


def found(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


# --- workers


def test_a_queue_without_a_worker_is_a_problem_and_names_the_command() -> None:
    findings = judge_workers([BEAT], {"lane-0": {"parse"}, "lane-10": {"parse"}, "lane-2": {"parse"}})
    assert found(findings, "ok") == ["host (prefork, 4): lane-0, lane-1"]
    (problem,) = [finding for finding in findings if finding.level == "problem"]
    assert problem == Finding(
        "problem",
        "no worker consumes lane-2, lane-10: their lanes stand still",
        "start a worker: lanebridge worker -Q lane-2,lane-10",
    )


def test_a_task_that_a_worker_does_not_know_is_a_problem_of_that_worker() -> None:
    other = Heartbeat("host.2", "other", "prefork", ("lane-5",), (), ())
    findings = judge_workers([BEAT, other], {"lane-0": {"parse", "show"}})
    assert found(findings, "problem") == ["host does not know the task show"]


def test_workers_that_serve_everything_are_fine() -> None:
    findings = judge_workers([BEAT], {"lane-0": {"parse"}, "own": {"store"}})
    assert {finding.level for finding in findings} == {"ok"}
    assert findings[-1].text == "every queue that lanes use has a worker (2 queues)"


def test_no_worker_at_all_is_one_problem() -> None:
    assert judge_workers([], {"lane-0": {"parse"}}) == [
        Finding("problem", "no worker is alive", "start one: lanebridge worker")
    ]


def test_a_pool_that_links_were_not_tested_in_is_a_warning() -> None:
    gevent = Heartbeat("host.1", "host", "gevent", ("lane-0",), ("parse",), ())
    assert found(judge_workers([gevent], {}), "warning") == ["host has the pool gevent, in which links were not tested"]


def make_plan(*, on_failed: bool = False, **conf: Any) -> Plan:
    """An app with two pipelines; the second one's second link has a queue of its own. A third one asks a task."""
    app = Celery("examined", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.update(conf)
    bridge = Bridge(app, group_id="g", lane_queues=4)

    @app.task(base=BatchTask, name="first", shared=False)
    def first(batch: Batch) -> None: ...

    @app.task(base=BatchTask, name="second", shared=False)
    def second(batch: Batch) -> None: ...

    bridge.pipeline("a", chain=first.s())
    bridge.pipeline("b", chain=first.s() | second.s().set(queue="own"), order_by="key", lanes=2, link_timeout=900)
    if on_failed:
        bridge.pipeline("c", chain=first.s(), on_failed=second.s())
    return plan_as_declared(bridge)


def test_the_needed_queues_are_those_of_the_lanes_that_there_are() -> None:
    places = {"a": [TopicPartition("a", 0)], "b": [TopicPartition("b", 3)]}
    needs = needs_of(make_plan(), places)
    of_a, of_b = lane_queue("a", 0, 0, 4), {lane_queue("b", 3, lane, 4) for lane in (0, 1)}
    assert set(needs) == {of_a, *of_b, "own"}
    assert needs["own"] == {"second"}
    assert all(needs[queue] == {"first"} for queue in {of_a, *of_b})


def test_the_on_failed_task_is_needed_where_the_links_are() -> None:
    needs = needs_of(make_plan(on_failed=True), {"c": [TopicPartition("c", 0)]})
    assert needs[lane_queue("c", 0, 0, 4)] == {"first", "second"}


def test_without_kafkas_answer_every_lane_queue_counts_as_needed() -> None:
    assert set(needs_of(make_plan(), None)) == {"lane-0", "lane-1", "lane-2", "lane-3", "own"}


# --- the ledger's Redis

HEALTHY = {"redis_version": "7.2.4", "maxmemory": 0, "maxmemory_policy": "noeviction", "aof_enabled": 1}


def examine(**info: Any) -> list[Finding]:
    return [finding for check in LEDGER_CHECKS for finding in check({**HEALTHY, **info})]


def test_a_healthy_redis_has_no_findings_to_act_on() -> None:
    assert [finding.text for finding in examine()] == [
        "Redis 7.2.4",
        "maxmemory-policy is noeviction, no memory limit",
        "appendonly is on: a restart of Redis loses a second at the most",
    ]


def test_valkey_is_called_valkey() -> None:
    assert examine(valkey_version="9.1.2")[0] == Finding("ok", "Valkey 9.1.2")


@pytest.mark.parametrize(("version", "level"), [("6.0.16", "problem"), ("6.2.0", "ok"), ("10.0.1", "ok")])
def test_a_redis_below_6_2_is_too_old(version: str, level: str) -> None:
    assert examine(redis_version=version)[0].level == level


def test_a_policy_that_evicts_is_a_problem() -> None:
    (text,) = found(examine(maxmemory=10**9, maxmemory_policy="allkeys-lru"), "problem")
    assert text.startswith("maxmemory-policy is allkeys-lru: Redis may throw away what is in flight")


@pytest.mark.parametrize(("used", "level"), [(79, "ok"), (80, "warning")])
def test_a_redis_that_is_nearly_full_is_a_warning(used: int, level: str) -> None:
    findings = examine(maxmemory=100 * 2**20, used_memory=used * 2**20)
    assert [finding.level for finding in findings if "of maxmemory (100 MiB)" in finding.text] == [level]


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"config_save": ""}, "nothing is kept on disk: after a restart of Redis the ledger is empty"),
        (
            {"config_save": "3600 1"},
            "only snapshots are kept on disk (3600 1): a restart of Redis rolls the ledger back",
        ),
        ({}, "only snapshots are kept on disk: a restart of Redis rolls the ledger back"),
    ],
)
def test_what_a_restart_of_redis_loses_is_a_note(info: dict[str, str], text: str) -> None:
    assert found(examine(aof_enabled=0, **info), "note") == [text]


# --- the Celery app


def celery_findings(**conf: Any) -> list[Finding]:
    plan = make_plan(**conf)
    return [finding for check in CELERY_CHECKS for finding in check(plan)]


def test_a_visibility_timeout_below_link_timeout_is_a_warning_for_that_pipeline() -> None:
    findings = celery_findings(broker_transport_options={"visibility_timeout": 600})
    assert found(findings, "warning") == ["visibility_timeout=600 s is below link_timeout=900 s of pipeline b"]
    assert found(celery_findings(), "warning") == []


@pytest.mark.parametrize(
    ("conf", "text"),
    [
        ({"task_default_rate_limit": "10/s"}, "task_default_rate_limit='10/s' also slows down lanes"),
        (
            {"task_acks_late": True, "task_reject_on_worker_lost": True},
            "task_acks_late with task_reject_on_worker_lost: a task that kills its worker comes back without end",
        ),
    ],
)
def test_risky_settings_are_warnings(conf: dict[str, Any], text: str) -> None:
    assert found(celery_findings(**conf), "warning") == [text]


@pytest.mark.parametrize(
    ("conf", "text"),
    [
        (
            {"task_time_limit": 400},
            "task_time_limit=400 s is below link_timeout=900 s of pipeline b: it decides when a link is killed",
        ),
        (
            {"worker_prefetch_multiplier": 4},
            "worker_prefetch_multiplier=4: a plain `celery worker` holds back links that others could run",
        ),
        (
            {"result_backend": "redis://:hunter2@r/1"},
            "result backend of the app: redis://:***@r/1; lane tasks do not use it (their results are ignored)",
        ),
    ],
)
def test_what_is_only_worth_knowing_is_a_note(conf: dict[str, Any], text: str) -> None:
    assert text in found(celery_findings(**conf), "note")


# --- versions


def test_the_installed_versions_fit() -> None:
    (finding,) = look_at_versions()
    assert finding.level == "ok"
    assert "librdkafka 2." in finding.text


def test_a_version_that_does_not_fit_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        versions, "requires", lambda name: ["celery[redis]<6,>=5.7", "absent>=1", "x>1; extra == 'test'"]
    )
    monkeypatch.setattr(versions, "_installed", {"celery": "5.6.9", "absent": None}.__getitem__)
    assert found(look_at_versions(), "problem") == [
        "celery 5.6.9 does not fit celery<6,>=5.7",
        "absent is missing does not fit absent>=1",
    ]


def test_long_lists_are_cut() -> None:
    assert few(["a", "b", "c"], limit=2) == "a, b and 1 more"


# --- the whole examination


APP = """
    from celery import Celery
    from bridge import Batch, BatchTask, Bridge

    app = Celery(__name__, broker={redis!r}, set_as_current=False)
    bridge = Bridge(app, group_id={group!r}, bootstrap_servers={kafka!r}, lane_queues=2)

    @app.task(base=BatchTask, name="store", shared=False)
    def store(batch: Batch) -> None: ...

    bridge.pipeline({topic!r}, chain=store.s())
"""

Examine = Callable[..., tuple[int, dict[str, list[str]]]]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis where no other test's workers have reported."""
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def app(write_app: WriteApp, kafka: KafkaServer, redis_url: str, topic_name: str, group_name: str) -> str:
    """An app on the session's servers."""
    source = textwrap.dedent(APP)
    return write_app(source.format(redis=redis_url, group=group_name, kafka=kafka.bootstrap_servers, topic=topic_name))


@pytest.fixture
def examine_app(cli: Cli) -> Examine:
    """Runs `doctor`: its exit code, and its lines by chapter."""

    def run(app: str, *options: str) -> tuple[int, dict[str, list[str]]]:
        result = cli("doctor", "-A", app, *options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.stderr == "", result.stderr
        chapters: dict[str, list[str]] = {}
        for block in result.stdout.strip().split("\n\n"):
            title, *lines = block.splitlines()
            chapters[title] = [" ".join(line.split()) for line in lines]
        return result.exit_code, chapters

    return run


@pytest.fixture
def worker(redis_url: str, group_name: str) -> Iterator[None]:
    """The heartbeat of a worker that serves everything, kept up by nobody: it lives for a minute."""
    with redis.Redis.from_url(redis_url) as client:
        ledger = Ledger(client, group_name)
        beat = Heartbeat(f"{group_name}.1", group_name, "solo", ("lane-0", "lane-1"), ("store",), ())
        ledger.write_heartbeat(beat, 60.0)
        yield
        ledger.forget_worker(beat.worker)


@pytest.mark.usefixtures("worker")
def test_a_healthy_installation_ends_with_0_and_says_what_it_has_seen(
    examine_app: Examine,
    app: str,
    make_topic: Callable[..., str],
    topic_name: str,
    group_name: str,
    kafka: KafkaServer,
) -> None:
    make_topic(topic_name, 3)
    make_topic(f"{topic_name}.dlq", 1)
    code, chapters = examine_app(app)
    assert list(chapters) == [
        "Versions",
        "Options",
        "Pipelines",
        "Kafka",
        "Ledger",
        "Celery",
        "Workers",
        list(chapters)[-1],
    ]
    assert (code, list(chapters)[-1]) == (0, "0 problems, 0 warnings."), chapters
    assert f"group_id {group_name} code" in chapters["Options"]
    assert "start_from earliest default" in chapters["Options"]
    assert chapters["Pipelines"] == [f"ok {topic_name}: store, order by partition, given up: to {{topic}}.dlq"]
    assert chapters["Kafka"][:3] == [
        f"ok reached at {kafka.bootstrap_servers}, login accepted",
        f"ok pipeline {topic_name}: {topic_name} (3 partitions)",
        f"group {group_name} does not exist yet; the first bridge makes it",
    ]
    assert f"ok {group_name} (solo, 1): lane-0, lane-1" in chapters["Workers"]


@pytest.mark.usefixtures("worker")
def test_a_topic_that_is_not_there_is_a_problem_unless_it_is_waited_for(
    examine_app: Examine, app: str, topic_name: str
) -> None:
    code, chapters = examine_app(app)
    assert code == 1
    assert f"problem pipeline {topic_name}: Kafka has no topic {topic_name}" in chapters["Kafka"]
    code, chapters = examine_app(app, "--wait-for-topics")
    assert code == 0
    assert "wait_for_topics true command line" in chapters["Options"]


@pytest.mark.usefixtures("worker")
def test_a_missing_dead_letter_topic_is_a_warning_with_the_command_that_creates_it(
    examine_app: Examine, app: str, make_topic: Callable[..., str], topic_name: str, kafka: KafkaServer
) -> None:
    make_topic(topic_name, 2)
    code, chapters = examine_app(app)
    assert (code, list(chapters)[-1]) == (0, "0 problems, 1 warning.")
    lines = chapters["Kafka"]
    at = next(number for number, line in enumerate(lines) if line.startswith("warning "))
    assert lines[at].startswith(f"warning Kafka has no topic {topic_name}.dlq for the dead letters of {topic_name}: ")
    tool = f"kafka-topics.sh --bootstrap-server {kafka.bootstrap_servers}"
    assert lines[at + 1] == f"-> create it: {tool} --create --topic {topic_name}.dlq --partitions 2"


@pytest.mark.usefixtures("worker")
def test_topics_that_expressions_match_too_widely_are_found(
    examine_app: Examine,
    write_app: WriteApp,
    make_topic: Callable[..., str],
    topic_name: str,
    group_name: str,
    kafka: KafkaServer,
    redis_url: str,
) -> None:
    make_topic(f"{topic_name}-a", 1)
    make_topic(f"{topic_name}-a.dlq", 1)
    source = textwrap.dedent(APP).format(
        redis=redis_url, group=group_name, kafka=kafka.bootstrap_servers, topic=f"^{topic_name}-.*"
    )
    code, chapters = examine_app(write_app(source))
    assert code == 0
    assert f"ok pipeline ^{topic_name}-.*: {topic_name}-a (1 partitions)" in chapters["Kafka"]
    assert any(line.startswith(f"{topic_name}-a.dlq: not carried, ") for line in chapters["Kafka"])

    code, chapters = examine_app(write_app(source + f'bridge.pipeline("^{topic_name}.*a$", chain=store.s())\n'))
    assert code == 1
    assert any(line.startswith(f"problem Topic {topic_name}-a is matched by ") for line in chapters["Kafka"])


@pytest.mark.usefixtures("worker")
def test_a_stranger_in_the_group_is_a_problem_and_what_is_not_committed_is_told(
    examine_app: Examine,
    app: str,
    make_topic: Callable[..., str],
    topic_name: str,
    group_name: str,
    kafka: KafkaServer,
) -> None:
    make_topic(topic_name, 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for _ in range(5):
        producer.produce(topic_name, b"x")
    assert producer.flush(30.0) == 0
    stranger = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": group_name,
            "client.id": "reporting",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    stranger.subscribe([topic_name])
    try:
        message = wait_until(lambda: stranger.poll(0.1), what="a record for the stranger")
        assert message is not None
        stranger.commit(message=message, asynchronous=False)
        code, chapters = examine_app(app)
    finally:
        stranger.close()
    assert code == 1
    lines = chapters["Kafka"]
    assert any(f"problem group {group_name} has members that are no bridges: reporting at " in line for line in lines)
    assert "4 records are not committed yet, in 1 partitions with an offset" in lines


def test_servers_that_are_not_there_are_named_without_their_passwords(
    examine_app: Examine, write_app: WriteApp
) -> None:
    nowhere = APP.format(redis="redis://:hunter2@127.0.0.1:1/0", group="g", kafka="127.0.0.1:1", topic="t")
    code, chapters = examine_app(write_app(nowhere))
    assert code == 1
    assert chapters["Kafka"][0].startswith("problem Kafka cannot be reached: 127.0.0.1:1: ")
    assert chapters["Kafka"][1].startswith("-> check that Kafka runs and that bootstrap_servers='127.0.0.1:1'")
    assert chapters["Ledger"][0].startswith("problem redis://:***@127.0.0.1:1/0 cannot be reached: ")
    assert chapters["Ledger"][1] == "-> start Redis >= 6.2 or Valkey there, or set ledger_url (BRIDGE_LEDGER_URL)"
    assert chapters["Celery"][0].startswith("problem the broker redis://:***@127.0.0.1:1/0 cannot be reached: ")
    assert chapters["Workers"] == ["unknown: the ledger, where workers report, cannot be read"]
    assert "hunter2" not in str(chapters)


@pytest.mark.usefixtures("worker")
def test_a_fault_of_the_declaration_is_a_problem_and_the_examination_goes_on(
    examine_app: Examine, write_app: WriteApp, kafka: KafkaServer, redis_url: str, group_name: str
) -> None:
    source = textwrap.dedent(APP).format(redis=redis_url, group=group_name, kafka=kafka.bootstrap_servers, topic="t")
    name = write_app(
        source.replace("chain=store.s()", 'chain=app.signature("nowhere")') + "app.conf.task_protocol = 1\n"
    )
    code, chapters = examine_app(name, "--wait-for-topics")
    assert code == 1
    problems = [line for line in chapters["Pipelines"] if line.startswith("problem ")]
    assert [line.partition(":")[0] for line in problems] == ["problem Pipeline 't'", "problem task_protocol=1"]
    assert chapters["Kafka"][0].startswith("ok reached at ")


@pytest.mark.usefixtures("worker")
def test_an_unknown_variable_is_a_warning_and_secrets_are_hidden(
    examine_app: Examine, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_LANE_QUEU", "3")
    monkeypatch.setenv("BRIDGE_KAFKA_SASL_PASSWORD", "hunter2")
    code, chapters = examine_app(app, "--wait-for-topics")
    assert (code, list(chapters)[-1]) == (0, "0 problems, 1 warning.")
    assert "warning BRIDGE_LANE_QUEU is not an option; did you mean BRIDGE_LANE_QUEUES?" in chapters["Options"]
    assert "kafka.sasl.password *** environment" in chapters["Options"]
    assert "hunter2" not in str(chapters)


def test_a_raw_kafka_option_that_is_refused_is_a_problem(examine_app: Examine, app: str) -> None:
    code, chapters = examine_app(app, "--kafka", "security.protocol=nonsense")
    assert code == 1
    assert chapters["Kafka"][0].startswith('problem librdkafka refuses its options: Invalid value "nonsense"')
