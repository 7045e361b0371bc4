"""Trains on real parts: a backlog in small batches, a record that is given up, a batch that fails, a killed process."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.integration.apps.trains import BAD, KILLS, RAISES
from tests.integration.conftest import MakeWorld
from tests.kafka.letters import records_of

APP = "tests.integration.apps.trains"
RECORDS, BATCH = 2000, 10
BAD_AT, RAISES_AT, KILLS_AT = 505, 1003, 1507


def _values() -> list[bytes]:
    odd = {BAD_AT: BAD, RAISES_AT: RAISES, KILLS_AT: KILLS}
    return [odd.get(number, b"%d" % number) for number in range(RECORDS)]


def _offsets(entries: list[dict[str, Any]]) -> list[int]:
    return [offset for entry in entries for offset in entry["offsets"]]


def test_a_backlog_goes_in_trains_and_what_stops_one_changes_nothing_for_the_records(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    with make_world(tmp_path, "trains") as world:
        topic, dead = make_topic(world.group, 1), make_topic(f"{world.group}.dlq", 1)
        world.produce(topic, _values())
        world.worker(APP, "-c", "2", TEST_TOPIC=topic)
        bridge = world.bridge(APP, TEST_TOPIC=topic)

        assert bridge.exit_code == 0
        assert world.committed(topic) == [RECORDS]
        assert [letter[0] for letter in records_of(world.servers, dead)] == [0]
        begun, done = world.journal(what="begun"), world.journal(what="done")

    # each record that could be parsed is done, in order; again ran only what was done in the chain that was killed
    killed = next(entry["chain"] for entry in begun if KILLS_AT in entry["offsets"])
    again = [offset for offset, times in Counter(_offsets(done)).items() if times > 1]
    assert sorted(set(_offsets(done))) == [offset for offset in range(RECORDS) if offset != BAD_AT]
    assert set(again) <= set(_offsets([entry for entry in done if entry["chain"] == killed]))
    firsts = list(dict.fromkeys(_offsets(begun)))
    assert firsts == sorted(firsts)

    # the batches are as small as if each had gone alone
    assert all(len(entry["offsets"]) <= BATCH for entry in begun)
    batches = Counter(entry["chain"] for entry in begun)
    assert batches.most_common(1)[0][1] == 16
    assert len(batches) < RECORDS / BATCH / 2

    # what is tried again goes alone, and what was behind it in the train as well
    assert {batches[entry["chain"]] for entry in begun if entry["attempt"] > 1} == {1}
    for stopped in (RAISES_AT, KILLS_AT):
        chain = next(entry["chain"] for entry in begun if stopped in entry["offsets"])
        behind = [entry["chain"] for entry in begun if entry["chain"] != chain and entry["offsets"][-1] > stopped]
        assert batches[behind[0]] == 1, stopped
    assert all(first["offsets"][-1] < then["offsets"][0] for first, then in pairwise(begun) if _same(first, then))


def _same(first: dict[str, Any], then: dict[str, Any]) -> bool:
    return bool(first["chain"] == then["chain"])
