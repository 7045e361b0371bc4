"""What replays remember: a letter is done when any pass over it chose it, and everything fits into a commit."""

from __future__ import annotations

import pytest

from bridge.cli.dlq.letters import Filters, FoundLetter
from bridge.cli.dlq.progress import METADATA_BYTES, Pass, Progress, ProgressFull, ProgressUnreadable, decode
from bridge.kafka.dead_letter_headers import Sender, letter_headers
from bridge.kafka.dead_letter_reading import Kept
from bridge.records import Headers, TopicPartition
from tests.kafka.letters import letter, row

DLQ, SOURCE = TopicPartition("orders.dlq", 0), TopicPartition("orders", 0)
ALL = Filters()


def found(
    offset: int, exception: str = "ValueError", replays: int = 0, omitted: str = "", at_ms: int = 0
) -> FoundLetter:
    own: Headers = (("lanebridge.replays", str(replays).encode()),) if replays else ()
    record = letter(row(headers=own), exception=exception)
    headers = letter_headers(SOURCE, record, Sender("g", "1"), omitted)
    return FoundLetter.of(DLQ, (offset, at_ms, b"k", b"v", headers))


def passed(first: int, upto: int, filters: Filters = ALL, max_replays: int = 3) -> Pass:
    return Pass(first, upto, filters, max_replays)


VALUES, KEYS = Filters(exceptions=("ValueError",)), Filters(exceptions=("KeyError",))


def test_only_what_a_pass_went_over_and_chose_is_done() -> None:
    progress = Progress("id").with_pass(passed(5, 10, VALUES)).with_pass(passed(0, 20, KEYS))
    assert [offset for offset in range(30) if progress.has_done(found(offset))] == list(range(5, 10))
    assert [offset for offset in range(30) if progress.has_done(found(offset, "app.KeyError"))] == list(range(20))
    assert not progress.has_done(found(7, "OSError"))


def test_what_a_pass_refused_is_not_done() -> None:
    progress = Progress("id").with_pass(passed(0, 20, max_replays=2))
    assert [progress.has_done(found(5, replays=replays)) for replays in range(4)] == [True, True, False, False]
    assert not progress.has_done(found(5, omitted="value (9 bytes)"))
    assert not progress.has_done(FoundLetter.of(DLQ, row()))


def test_times_are_those_of_the_dead_letter() -> None:
    filters = Filters(since_ms=100, until_ms=200)
    assert [filters.chooses(found(1, at_ms=at)) for at in (99, 100, 199, 200)] == [False, True, True, False]
    assert filters.chooses(FoundLetter.of(DLQ, row(timestamp_ms=150)))
    assert not VALUES.chooses(FoundLetter.of(DLQ, row()))


def test_passes_that_touch_and_choose_the_same_become_one() -> None:
    progress = Progress().with_pass(passed(0, 5, VALUES)).with_pass(passed(5, 9, VALUES))
    assert progress.passes == (passed(0, 9, VALUES),)
    progress = progress.with_pass(passed(20, 30, VALUES))
    assert progress.passes == (passed(0, 9, VALUES), passed(20, 30, VALUES))
    assert progress.with_pass(passed(8, 21, VALUES)).passes == (passed(0, 30, VALUES),)


def test_a_pass_over_everything_makes_those_below_it_superfluous() -> None:
    progress = Progress().with_pass(passed(2, 5, VALUES)).with_pass(passed(3, 9, KEYS)).with_pass(passed(0, 8))
    assert progress.passes == (passed(3, 9, KEYS), passed(0, 8))
    stricter = Progress().with_pass(passed(2, 5, VALUES, max_replays=9)).with_pass(passed(0, 8))
    assert len(stricter.passes) == 2


@pytest.mark.parametrize(
    ("filters", "max_replays", "start", "resumed"),
    [
        (VALUES, 3, 0, 20),  # its own pass, then the one over everything
        (KEYS, 3, 0, 0),
        (KEYS, 3, 10, 20),
        (KEYS, 4, 10, 10),  # would write what the other one refused
        (KEYS, 2, 10, 20),
        (ALL, 3, 12, 20),
        (ALL, 3, 20, 20),
    ],
)
def test_a_run_is_taken_up_behind_what_has_done_all_that_it_wants(
    filters: Filters, max_replays: int, start: int, resumed: int
) -> None:
    progress = Progress().with_pass(passed(0, 10, VALUES)).with_pass(passed(10, 20))
    assert progress.resume_at(start, passed(start, start, filters, max_replays)) == resumed


def test_what_is_kept_is_read_again() -> None:
    everything = Filters(("a",), ("exhausted", "timeout"), ("E",), 1, 2)
    progress = Progress("id").with_pass(passed(0, 5, everything)).with_pass(passed(7, 9))
    kept = progress.encode(9)
    assert kept.offset == 9
    assert decode(kept, "id") == progress
    assert decode(kept, "") == progress  # the broker did not say the topic's id


def test_passes_over_what_the_topic_has_no_longer_are_forgotten() -> None:
    progress = Progress("id").with_pass(passed(0, 5, VALUES)).with_pass(passed(4, 9, KEYS))
    assert progress.from_offset(5).passes == (passed(4, 9, KEYS),)
    assert progress.from_offset(4) == progress


def test_a_topic_that_was_created_anew_has_no_progress() -> None:
    assert decode(Progress("old").with_pass(passed(0, 5)).encode(5), "new") == Progress("new")


def test_of_an_offset_that_was_set_by_hand_everything_below_counts_as_done() -> None:
    progress = decode(Kept(12), "id")
    assert (progress.has_done(found(11, replays=50)), progress.has_done(found(12))) == (True, False)
    assert decode(Kept(), "id") == Progress("id")


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"lb":2,"topic":"","passes":[]}', '{"lb":1,"topic":"","passes":[[0,1,3,{"color":1}]]}']
)
def test_what_another_version_has_kept_is_refused(text: str) -> None:
    with pytest.raises(ProgressUnreadable, match="use the version of lanebridge that wrote it"):
        decode(Kept(5, text), "id")


def test_a_memory_that_is_full_says_what_to_do() -> None:
    progress, sizes = Progress("id"), list[int]()
    while not sizes or sizes[-1] <= METADATA_BYTES - 100:
        progress = progress.with_pass(passed(0, 5, Filters(since_ms=1_700_000_000_000 + len(sizes))))
        sizes.append(len(progress.encode(5).metadata))
    assert len(sizes) > 50
    huge = passed(0, 5, Filters(exceptions=tuple(f"Error{number}" for number in range(20))))
    with pytest.raises(ProgressFull, match="replay without filters what is left"):
        progress.with_pass(huge).encode(5)
    assert progress.with_pass(passed(0, 5)).passes == (passed(0, 5),)
