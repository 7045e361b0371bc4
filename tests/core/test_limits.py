"""The memory budget over partitions: who is paused, when all are held, and what goes on growing in a hold."""

from __future__ import annotations

from bridge.core.effects import Effect, HoldFetching, PauseFetching, ResumeFetching
from bridge.core.limits import LEAST_SHARE_BYTES, Buffers
from bridge.records import TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
SHARE = LEAST_SHARE_BYTES


def _buffers() -> tuple[Buffers, list[Effect]]:
    effects: list[Effect] = []
    buffers = Buffers(2 * SHARE, effects.append)
    buffers.start(A)
    buffers.start(B)
    return buffers, effects


def test_a_full_partition_is_paused_until_half_of_its_share_is_gone() -> None:
    buffers, effects = _buffers()
    buffers.update(A, SHARE, exempt=False)
    buffers.update(A, SHARE // 2 + 1, exempt=False)
    assert effects == [PauseFetching(A)]
    buffers.update(A, SHARE // 2, exempt=False)
    assert effects == [PauseFetching(A), ResumeFetching(A)]


def test_when_all_are_full_the_last_one_is_not_paused() -> None:
    buffers, effects = _buffers()
    buffers.update(A, SHARE, exempt=False)
    buffers.update(B, SHARE, exempt=False)
    assert effects == [PauseFetching(A), HoldFetching(True)]


def test_a_partition_that_goes_on_growing_in_a_hold_is_paused() -> None:
    buffers, effects = _buffers()
    buffers.update(A, SHARE, exempt=False)
    buffers.update(B, SHARE, exempt=False)
    buffers.update(B, SHARE * 5 // 4, exempt=False)
    assert effects[2:] == [PauseFetching(B)]


def test_in_a_hold_nothing_is_resumed_before_it_ends() -> None:
    buffers, effects = _buffers()
    for tp in (A, B):
        buffers.update(tp, 2 * SHARE, exempt=False)
    buffers.update(A, SHARE, exempt=False)
    assert effects == [PauseFetching(A), HoldFetching(True), PauseFetching(B)]
    buffers.update(A, SHARE // 2, exempt=False)
    assert effects[3:] == [HoldFetching(False), ResumeFetching(A)]


def test_a_partition_that_must_read_on_is_never_paused() -> None:
    buffers, effects = _buffers()
    buffers.update(A, 10 * SHARE, exempt=True)
    assert effects == []
