"""`lanebridge dlq`: on a real broker, with dead letters as the bridge writes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge.cli.dlq.interrupts import StopAsked
from bridge.cli.dlq.kinds import moment, offset_range, place
from bridge.cli.dlq.showing import preview
from bridge.devstack import KafkaServer
from bridge.entries import DeadLetter
from bridge.kafka.dead_letter_reading import CHUNK, DeadLetterReader
from bridge.kafka.dead_letter_sending import AcknowledgedProducer
from bridge.kafka.errors import KafkaUnavailable
from bridge.records import HEADERS, KEY, VALUE, Row, TopicPartition
from tests.cli.conftest import GOOD, Cli, WriteApp
from tests.kafka.letters import letter, records_of, row, writing
from tests.kafka.member import produce, settings_for
from tests.kafka.test_dead_letters import RECORDS
from tests.waiting import wait_until

MakeTopic = Callable[..., str]


@dataclass(frozen=True)
class Desk:
    """A source topic with two partitions, its dead letter topic with two, and an app that has a pipeline of it."""

    servers: str
    group: str
    app: str
    source: str
    run: Cli

    @property
    def dlq(self) -> str:
        return f"{self.source}.dlq"

    def dead(self, *letters: DeadLetter, partition: int = 0, **options: Any) -> None:
        """Give these up."""
        with writing(self.servers, self.group, **options) as producer:
            producer.write_one(TopicPartition(self.source, partition), self.dlq, letters)

    def __call__(self, *arguments: str) -> str:
        """What a command prints."""
        result = self.run("dlq", arguments[0], "-A", self.app, *arguments[1:])
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def fails(self, *arguments: str) -> str:
        """The error of a command."""
        result = self.run("dlq", arguments[0], "-A", self.app, *arguments[1:])
        assert result.exit_code == 1, result.output
        return result.stderr

    def replayed(self, partition: int = 0) -> list[Row]:
        """What is in the source topic."""
        return records_of(self.servers, self.source, partition)

    def values(self, partition: int = 0) -> list[bytes | None]:
        """What is in the source topic, short."""
        return [record[VALUE] for record in self.replayed(partition)]


@pytest.fixture
def desk(
    cli: Cli, kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, write_app: WriteApp
) -> Desk:
    source = make_topic(topic_name, 2, {"max.message.bytes": "2000000"})
    make_topic(f"{source}.dlq", 2, {"max.message.bytes": "2000000"})
    options = f'group_id="{group_name}", bootstrap_servers="{kafka.bootstrap_servers}"'
    app = write_app(GOOD.replace('group_id="g"', options).replace('"orders"', f'"{source}"'))
    return Desk(kafka.bootstrap_servers, group_name, app, source, cli)


def numbered(count: int, **about: Any) -> list[DeadLetter]:
    return [letter(row(offset, value=b"%d" % offset), **about) for offset in range(count)]


# --- list


def test_the_list_counts_by_topics_disposition_and_exception(desk: Desk) -> None:
    desk.dead(*numbered(3))
    desk.dead(*numbered(2, disposition="rejected", exception=""), partition=1)
    desk.dead(letter(row(value=bytes(2_100_000))), partition=1)
    desk("replay", "--disposition", "exhausted", "--offsets", "1-2")
    lines = desk("list").splitlines()
    assert lines[0] == f"6 dead letters in {desk.dlq}"
    rows = [line.split() for line in lines[3:]]
    assert [line[:7] for line in rows] == [
        [desk.dlq, desk.source, "exhausted", "ValueError", "4", "2", "1"],
        [desk.dlq, desk.source, "rejected", "-", "2", "0", "0"],
    ]
    assert [(line[-2], line[-1]) for line in rows] == [("ago", "1/2"), ("ago", "1/1")]


def test_the_list_as_json_names_the_newest_letter_and_the_ages(desk: Desk, kafka: KafkaServer) -> None:
    desk.dead(*numbered(3), partition=3)
    produce(desk.servers, desk.dlq, [b"somebody else's"])
    foreign, ours = json.loads(desk("list", "--json"))["dead_letters"]
    age = ours["oldest_age_seconds"]
    assert age >= ours["newest_age_seconds"] >= 0
    assert ours | {"oldest": "", "newest": "", "oldest_age_seconds": 0, "newest_age_seconds": 0} == {
        "dead_letter_topic": desk.dlq,
        "source_topic": desk.source,
        "disposition": "exhausted",
        "exception": "ValueError",
        "count": 3,
        "replayed": 0,
        "stubs": 0,
        "oldest": "",
        "oldest_age_seconds": 0,
        "newest": "",
        "newest_age_seconds": 0,
        "newest_partition": 1,
        "newest_offset": 2,
    }
    assert f"was {desk.source}[3] offset 2: exhausted" in desk("show", desk.dlq, "1", "2")
    assert ours["oldest"].startswith("20")
    assert (foreign["source_topic"], foreign["disposition"], foreign["count"]) == (None, None, 1)


def test_an_empty_topic_and_a_missing_one_are_told_apart(desk: Desk, kafka_admin: AdminClient) -> None:
    assert desk("list") == f"No dead letters in {desk.dlq}.\n"
    assert json.loads(desk("list", "--json")) == {"dead_letters": []}
    kafka_admin.delete_topics([desk.dlq])[desk.dlq].result(30.0)
    missing = f"None of the dead letter topics exists: {desk.dlq}. `lanebridge doctor` says how to create them.\n"
    wait_until(lambda: desk("list") == missing)
    assert "there is nothing to replay" in desk.fails("replay")
    error = desk.fails("list", "--topic", desk.dlq)
    assert f"Kafka at {desk.servers} has no topic {desk.dlq}: correct --topic, or create it: kafka-topics.sh" in error


def test_a_topic_that_is_named_is_read_instead(desk: Desk, make_topic: MakeTopic) -> None:
    other = make_topic(f"{desk.source}-other")
    produce(desk.servers, other, [b"1", b"2"])
    assert desk("list", "--topic", other).startswith(f"2 dead letters in {other}\n")
    assert desk("list", "--topic", f"^{desk.source}.*other$").startswith(f"2 dead letters in {other}\n")


def test_the_topics_of_a_pattern_are_those_that_it_matches_now(
    desk: Desk, write_app: WriteApp, kafka: KafkaServer
) -> None:
    options = f'group_id="{desk.group}", bootstrap_servers="{kafka.bootstrap_servers}"'
    source = GOOD.replace('group_id="g"', options)
    app = write_app(
        source.replace(
            '"orders", chain=store.s()', f'"^{desk.source}$", chain=store.s(), dead_letter_topic="{{topic}}.dlq"'
        )
    )
    desk.dead(*numbered(2))
    result = desk.run("dlq", "list", "-A", app)
    assert result.stdout.startswith(f"2 dead letters in {desk.dlq}\n"), result.output


def test_a_broker_that_is_nowhere_is_an_error_with_the_remedy(cli: Cli, write_app: WriteApp) -> None:
    result = cli("dlq", "list", "-A", write_app(), "--bootstrap-servers", "127.0.0.1:1", "--topic", "x")
    assert result.exit_code == 1
    assert "check that Kafka runs and that bootstrap_servers='127.0.0.1:1'" in result.stderr


# --- show


def test_show_tells_everything_of_a_dead_letter(desk: Desk) -> None:
    record = row(7, b"k\xff", b'{"n": 1, "name": "\xc3\xbc"}', (("trace", b"\x00\x01"), ("a", None), ("t", b"text")))
    desk.dead(letter(row(1)), letter(record), partition=1)
    text = desk("show", desk.dlq, "1", "1")
    lines = text.splitlines()
    assert lines[0].startswith(f"{desk.dlq}[1] offset 1, written 20")
    assert lines[1] == f"was {desk.source}[1] offset 7: exhausted, ValueError: no stock"
    assert lines[3] == "Headers (21)"
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[4:26] if line.strip()}
    assert (shown["trace"], shown["a"], shown["t"]) == ("00 01", "null", "text")
    assert shown["lanebridge.disposition"] == "exhausted"
    assert shown["__dlq.errors.offset"] == "7"
    assert "Key (2 bytes, no text)\n  6b ff\n" in text
    assert 'bytes, JSON)\n  {\n    "n": 1,\n    "name": "ü"\n  }\n' in text


def test_show_reads_springs_numbers_and_names_what_a_stub_leaves_out(desk: Desk) -> None:
    desk.dead(letter(row(7, value=bytes(2_100_000))), partition=1, profile="spring")
    text = desk("show", desk.dlq, "1", "0")
    assert "A STUB: the record was too large for this topic. Not here: value (2100000 bytes)" in text
    shown = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line.startswith("  kafka_")}
    assert (shown["kafka_dlt-original-partition"], shown["kafka_dlt-original-offset"]) == ("1", "7")
    assert "Value: null" in text


def test_show_finds_all_dead_letters_of_a_record(desk: Desk) -> None:
    desk.dead(*numbered(5), *numbered(2))
    text = desk("show", "--source", f"{desk.source}/0/1")
    assert [line.partition(",")[0] for line in text.splitlines() if ", written" in line] == [
        f"{desk.dlq}[0] offset 1",
        f"{desk.dlq}[0] offset 6",
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("{dlq}", "0", "9"), "{dlq}[0] has no record at offset 9: it holds offsets 0 to 1"),
        (("{dlq}", "7", "0"), "{dlq} has no partition 7: it has 2, from 0"),
        (("--source", "{source}/0/99"), "there is no dead letter of {source}[0] offset 99 in {dlq}"),
    ],
)
def test_what_is_not_there_is_said(desk: Desk, arguments: tuple[str, ...], error: str) -> None:
    desk.dead(*numbered(2))
    names = {"dlq": desk.dlq, "source": desk.source}
    assert error.format(**names) in desk.fails("show", *(each.format(**names) for each in arguments))


def test_show_wants_one_place(cli: Cli, write_app: WriteApp) -> None:
    for arguments in ((), ("orders.dlq", "0"), ("orders.dlq", "0", "1", "--source", "orders/0/1")):
        result = cli("dlq", "show", "-A", write_app(), *arguments)
        assert (result.exit_code, "Name one dead letter" in result.stderr) == (2, True)


def test_previews_are_bounded_and_harmless() -> None:
    assert list(preview("Key", b"")) == ["Key (0 bytes, text)", "  "]
    assert list(preview("Value", b"42")) == ["Value (2 bytes, text)", "  42"]
    assert list(preview("Value", b"\x1b[31m")) == ["Value (5 bytes, no text)", "  1b 5b 33 31 6d"]
    assert list(preview("Value", bytes(600)))[-1] == "  ... 88 bytes more"
    assert list(preview("Value", b"x" * 5000))[-1] == "  ... 1000 characters more"
    assert len(list(preview("Value", b"[" * 100_000))) == 3


# --- replay


def test_the_round_trip_of_a_dead_letter_is_byte_identical(desk: Desk) -> None:
    desk.dead(*[letter(record) for record in RECORDS.values()], partition=1)
    desk("replay")
    counter = (("lanebridge.replays", b"1"),)
    back = desk.replayed(1)
    assert len(back) == len(RECORDS)
    for name, found, record in zip(RECORDS, back, RECORDS.values(), strict=True):
        assert (found[KEY], found[VALUE]) == (record[KEY], record[VALUE]), name
        assert found[HEADERS] == (*record[HEADERS], *counter), name


def test_the_round_trip_in_springs_names_is_byte_identical(desk: Desk) -> None:
    headers = (("a", b"\xff"), ("a", None))
    desk.dead(letter(row(headers=headers)), profile="spring")
    desk("replay")
    assert desk.replayed()[0][HEADERS] == (*headers, ("lanebridge.replays", b"1"))


def test_records_go_back_in_order_to_the_partitions_that_they_were_in(desk: Desk) -> None:
    desk.dead(*numbered(500), partition=0)
    desk.dead(*numbered(300), partition=1)
    text = desk("replay")
    assert text.splitlines() == [
        "800 dead letters replayed:",
        f"       500  to {desk.source}[0]",
        f"       300  to {desk.source}[1]",
    ]
    assert desk.values(0) == [b"%d" % number for number in range(500)]
    assert desk.values(1) == [b"%d" % number for number in range(300)]


def test_what_was_replayed_is_not_replayed_again_whatever_the_filters(desk: Desk) -> None:
    desk.dead(*numbered(4), *numbered(3, exception="KeyError"))
    assert desk("replay", "--exception", "KeyError").splitlines() == [
        "3 dead letters replayed:",
        f"         3  to {desk.source}[0]",
        "4 not chosen by the filters",
    ]
    passed_over = "0 dead letters replayed.\n{} passed over: earlier runs have gone through them\n"
    assert desk("replay", "--exception", "KeyError") == passed_over.format(7)
    assert desk("replay", "--offsets", "3-5", "--dry-run").splitlines() == [
        "1 dead letter would be replayed:",
        f"         1  to {desk.source}[0]",
        "2 replayed by an earlier run",
    ]
    assert desk("replay").splitlines()[0] == "4 dead letters replayed:"
    assert desk("replay") == passed_over.format(7)
    desk.dead(*numbered(1))
    assert desk("replay").splitlines()[0] == "1 dead letter replayed:"
    assert len(desk.values()) == 8
    assert desk("replay", "--again").splitlines()[0] == "8 dead letters replayed:"
    assert desk("replay") == passed_over.format(8)


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        (("--disposition", "timeout"), [2, 3]),
        (("--disposition", "timeout", "--disposition", "rejected"), [2, 3, 4]),
        (("--disposition", "timeout", "--exception", "KeyError"), [3]),
        (("--exception", "KeyError"), [3]),
        (("--exception", "app.errors.KeyError"), [3]),
        (("--source-topic", "elsewhere"), []),
        (("--offsets", "1-2"), [1, 2]),
        (("--offsets", "3-"), [3, 4]),
        (("--offsets", "0"), [0]),
        (("--partition", "1"), []),
        (("--since", "1h"), [0, 1, 2, 3, 4]),
        (("--since", "2099-01-01"), []),
        (("--until", "2099-01-01T00:00Z"), [0, 1, 2, 3, 4]),
        (("--until", "1h"), []),
    ],
)
def test_each_filter_chooses_the_letters_that_it_names(desk: Desk, filters: tuple[str, ...], chosen: list[int]) -> None:
    kinds = [
        {},
        {},
        {"disposition": "timeout"},
        {"disposition": "timeout", "exception": "app.errors.KeyError"},
        {"disposition": "rejected"},
    ]
    desk.dead(*(letter(row(value=b"%d" % number), **kind) for number, kind in enumerate(kinds)))
    desk("replay", *filters)
    assert desk.values() == [b"%d" % number for number in chosen]


def test_a_dry_run_writes_and_remembers_nothing(desk: Desk) -> None:
    desk.dead(*numbered(3))
    for _ in range(2):
        assert desk("replay", "--dry-run").splitlines()[0] == "3 dead letters would be replayed:"
    assert desk.values() == []
    assert desk("replay").splitlines()[0] == "3 dead letters replayed:"


def test_a_record_that_comes_back_again_and_again_is_refused_at_the_limit(desk: Desk) -> None:
    desk.dead(*numbered(1))
    for count in range(1, 4):
        assert "1 dead letter replayed:" in desk("replay")
        back = desk.replayed()[-1]
        assert dict(back[HEADERS])["lanebridge.replays"] == b"%d" % count
        desk.dead(letter((back[0], *back[1:])))
    assert desk("replay").splitlines() == [
        "0 dead letters replayed.",
        "1 refused: replayed 3 times already (--max-replays)",
        "3 passed over: earlier runs have gone through them",
    ]
    assert "1 dead letter replayed:" in desk("replay", "--max-replays", "4")
    assert len(desk.replayed()) == 4


def test_stubs_and_strangers_are_refused_and_counted(desk: Desk) -> None:
    desk.dead(letter(row(7, value=bytes(2_100_000))), letter(row(8)))
    produce(desk.servers, desk.dlq, [b"somebody else's"])
    assert desk("replay").splitlines() == [
        "1 dead letter replayed:",
        f"         1  to {desk.source}[0]",
        "1 refused: a stub, the record itself is not in the dead letter",
        "1 refused: it does not say which record it was",
    ]


def test_a_partition_that_is_gone_stops_the_replay_before_it_and_says_what_to_do(desk: Desk) -> None:
    desk.dead(*numbered(2))
    desk.dead(letter(), partition=6)
    desk.dead(*numbered(2), partition=0)
    error = desk.fails("replay")
    assert f"dead letter {desk.dlq}[0] offset 2 was {desk.source}[6], and {desk.source} has 2 partitions now" in error
    assert f"--alter --topic {desk.source} --partitions 7" in error
    assert len(desk.values()) == 2
    assert "2 dead letters replayed:" in desk("replay", "--offsets", "3-")


def test_a_topic_that_is_gone_stops_the_replay(desk: Desk) -> None:
    with writing(desk.servers) as producer:
        producer.write_one(TopicPartition("gone-for-ever", 3), desk.dlq, [letter()])
    error = desk.fails("replay")
    assert "gone-for-ever does not exist any more" in error
    assert "--create --topic gone-for-ever --partitions 4" in error


def test_a_record_that_its_topic_refuses_stops_the_replay_at_it(desk: Desk, kafka_admin: AdminClient) -> None:
    desk.dead(letter(row(1, value=b"a")), letter(row(2, value=bytes(1_500_000))), letter(row(3, value=b"b")))
    entry = ConfigEntry("max.message.bytes", "50000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, desk.source, incremental_configs=[entry])
    kafka_admin.incremental_alter_configs([resource])[resource].result(30.0)
    error = desk.fails("replay")
    assert f"dead letter {desk.dlq}[0] offset 1 cannot be written to {desk.source}[0]: " in error
    assert "MSG_SIZE_TOO_LARGE" in error
    assert desk("replay", "--offsets", "2-").splitlines()[0] == "1 dead letter replayed:"


def test_of_two_replays_at_once_the_older_one_ends(desk: Desk, tmp_path: Path) -> None:
    total = 10_000
    desk.dead(*numbered(total))
    with start_replay(desk, tmp_path) as first:
        try:
            wait_until(lambda: high_watermark(desk) > 0, what="the first records are back")
            desk("replay")
            _, errors = first.communicate(timeout=60)
        finally:
            first.kill()
    assert first.returncode == 1
    assert f"another replay of {desk.dlq} has begun: this one writes nothing more" in errors
    counts = Counter(desk.values())
    assert set(counts) == {b"%d" % offset for offset in range(total)}
    assert sum(times - 1 for times in counts.values()) <= CHUNK  # what was under way


def test_runs_that_write_nothing_do_not_fill_the_memory(desk: Desk) -> None:
    desk.dead(*numbered(2))
    tp = TopicPartition(desk.dlq, 0)
    for exception in ("KeyError", "OSError", "ValueError"):
        desk("replay", "--exception", exception)
    reader = DeadLetterReader(settings_for(desk.servers, f"{desk.group}.dlq-replay.{desk.dlq}"))
    kept = json.loads(reader.kept([tp])[tp].metadata)
    reader.close()
    assert kept["passes"] == [[0, 2, 3, {"exceptions": ["ValueError"]}]]


def test_a_memory_that_is_full_is_said_before_anything_is_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.dead(*numbered(2))
    monkeypatch.setattr("bridge.cli.dlq.progress.METADATA_BYTES", 60)
    assert "no room for one more" in desk.fails("replay", "--exception", "ValueError")
    assert desk.values() == []
    assert desk("replay", "--exception", "KeyError").splitlines()[0] == "0 dead letters replayed."


def test_a_commit_that_fails_says_that_the_next_run_writes_it_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.dead(*numbered(2))

    plain, calls = DeadLetterReader.keep, list[int]()

    def keep(self: DeadLetterReader, states: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise KafkaUnavailable("the coordinator is away")
        plain(self, states)

    monkeypatch.setattr(DeadLetterReader, "keep", keep)
    error = desk.fails("replay")
    assert "could not be remembered, the next run writes it once more: the coordinator is away" in error
    assert len(desk.values()) == 2


def test_the_login_is_that_of_the_bridge(desk: Desk, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.dead(*numbered(2))
    for name, value in {
        "BOOTSTRAP_SERVERS": kafka.sasl_bootstrap_servers,
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISMS": "PLAIN",
        "KAFKA_SASL_USERNAME": "alice",
        "KAFKA_SASL_PASSWORD": "right",
    }.items():
        monkeypatch.setenv(f"BRIDGE_{name}", value)
    assert desk("replay").splitlines()[0] == "2 dead letters replayed:"
    monkeypatch.setenv("BRIDGE_KAFKA_SASL_PASSWORD", "wrong-one")
    error = desk.fails("replay")
    assert "Kafka refuses the login" in error
    assert "wrong-one" not in error


# --- interrupted


@pytest.mark.parametrize(
    ("owner", "method", "before", "most"),
    [
        (AcknowledgedProducer, "send", True, 0),  # nothing of the chunk was written
        (AcknowledgedProducer, "send", False, CHUNK),  # all of it was, but it is not remembered
        (DeadLetterReader, "keep", True, CHUNK),  # the first one is the run's claim
        (DeadLetterReader, "keep", False, 0),
    ],
)
def test_wherever_it_ends_nothing_is_lost_and_at_most_a_chunk_is_written_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, before: bool, most: int
) -> None:
    total, calls, plain = 3 * CHUNK, list[int](), getattr(owner, method)

    def ending(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 and before:
            raise KeyboardInterrupt
        answer = plain(*arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answer

    desk.dead(*numbered(total))
    with monkeypatch.context() as patched:
        patched.setattr(owner, method, ending)
        assert desk.run("dlq", "replay", "-A", desk.app).exit_code == 1
    assert 0 < len(desk.values()) < total
    desk("replay")
    counts = Counter(desk.values())
    assert set(counts) == {b"%d" % offset for offset in range(total)}
    twice = sum(times > 1 for times in counts.values())
    assert twice <= most
    assert (twice > 0) == (most > 0)


def start_replay(desk: Desk, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    command = [sys.executable, "-m", "bridge.cli", "dlq", "replay", "-A", desk.app]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def high_watermark(desk: Desk) -> int:
    with_reader = DeadLetterReader(settings_for(desk.servers, desk.group))
    try:
        return with_reader.bounds([TopicPartition(desk.source, 0)])[TopicPartition(desk.source, 0)][1]
    finally:
        with_reader.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_replay_that_is_interrupted_goes_on_without_loss(desk: Desk, tmp_path: Path, number: signal.Signals) -> None:
    total = 10_000
    desk.dead(*numbered(total))
    with start_replay(desk, tmp_path) as process:
        try:
            wait_until(lambda: high_watermark(desk) > 0, what="the first records are back")
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == (-9 if number == signal.SIGKILL else 1), errors
    before = high_watermark(desk)
    assert 0 < before < total
    if number != signal.SIGKILL:
        assert f"{before:,} dead letters replayed:" in output
        assert "interrupted; what was written is remembered" in errors
    desk("replay")
    counts = Counter(desk.values())
    assert set(counts) == {b"%d" % offset for offset in range(total)}
    twice = [value for value, times in counts.items() if times > 1]
    assert max(counts.values()) <= 2
    assert len(twice) <= (CHUNK if number == signal.SIGKILL else 0)
    assert desk("replay").startswith("0 dead letters replayed.\n")


def test_a_second_signal_is_not_held_back() -> None:
    with StopAsked() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


# --- the command line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--since", "yesterday"),
        ("--offsets", "9-3"),
        ("--offsets", "all"),
        ("--max-replays", "0"),
        ("--disposition", "lost"),
        ("--topic", "^("),
    ],
)
def test_values_that_mean_nothing_are_usage_errors(cli: Cli, write_app: WriteApp, option: str, value: str) -> None:
    result = cli("dlq", "replay", "-A", write_app(), option, value)
    assert result.exit_code == 2
    assert value in result.stderr


def test_what_the_command_line_takes() -> None:
    context: Any = None
    assert moment(context, context, "1970-01-01T00:00:01Z") == 1000
    assert moment(context, context, None) is None
    assert offset_range(context, context, "10-20") == (10, 21)
    assert offset_range(context, context, "10-") == (10, None)
    assert offset_range(context, context, "10") == (10, 11)
    assert offset_range(context, context, None) == (0, None)
    assert place(context, context, "a.b-c/3/17") == (TopicPartition("a.b-c", 3), 17)


@pytest.mark.parametrize("name", ["list", "show", "replay"])
def test_every_command_teaches_with_examples(cli: Cli, name: str) -> None:
    text = cli("dlq", name, "--help").stdout
    assert f"lanebridge dlq {name}" in text.partition("Examples:")[2]
