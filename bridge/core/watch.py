"""Why a chain in flight may not move, and what is done about it (the failure detection table).

Unclaimed and reserved by nobody -> publish the link again, at doubling intervals, for ever. Claimed by a worker that
is gone, or that does not list the claim -> worker lost. Claimed for longer than `link_timeout` -> timed out where
the pool can be stopped, else stalled. Time is the bridge's own; only heartbeats are compared by the ledger's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bridge.core.flight import Flight
from bridge.entries import Heartbeat, LaneEntry, link_id
from bridge.records import PipelineRules

#: the longest interval between two publications of an unclaimed link, in seconds
PUBLISH_MAX_INTERVAL = 300.0
#: seconds within which a superseded link is killed; nothing is published before
TERMINATE_WAIT = 5.0
#: readings that are further apart than this (and than a third of `worker_timeout`) are not uninterrupted, in seconds
LONGEST_READING_GAP = 5.0
#: the exception name in the outcome of a link that ran into `link_timeout` and may still be running
LINK_TIMEOUT = "LinkTimeout"


class Finding(Enum):
    """What the sweep found of one chain."""

    FINE = "fine"
    WAITING = "waiting"
    STALLED = "stalled"
    PUBLISH = "publish again"
    WORKER_LOST = "worker lost"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Found:
    """A finding with its reason in words."""

    finding: Finding
    reason: str = ""


FINE = Found(Finding.FINE)


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """In seconds."""

    claim_timeout: float = 15.0
    worker_timeout: float = 15.0


class Workers:
    """The workers' signs of life, as this bridge has seen them."""

    def __init__(self, times: WatchTimes) -> None:
        self._times = times
        self._beats: dict[str, Heartbeat] = {}
        self._last_sign: dict[str, tuple[int, float]] = {}
        self._redis_since = 0.0
        self._read_at = self._unbroken_since = float("-inf")

    def update(self, beats: tuple[Heartbeat, ...], redis_since: float, now: float) -> None:
        """A new reading of all heartbeats. After a pause without readings (nothing in flight, this process frozen)
        a worker's silence counts from now on."""
        if now - self._read_at > max(LONGEST_READING_GAP, self._times.worker_timeout / 3):
            self._unbroken_since = now
        self._read_at = now
        self._beats = {beat.worker: beat for beat in beats}
        self._redis_since = max(redis_since, self._unbroken_since)
        for beat in beats:
            if self._last_sign.get(beat.worker, (-1, 0.0))[0] != beat.written_ms:
                self._last_sign[beat.worker] = (beat.written_ms, now)
        forgotten = now - 10 * self._times.worker_timeout
        for worker in [w for w, (_, at) in self._last_sign.items() if at < forgotten and w not in self._beats]:
            del self._last_sign[worker]

    def find(self, worker: str) -> Heartbeat | None:
        """The worker's last heartbeat, or None."""
        return self._beats.get(worker)

    def is_gone(self, worker: str, since: float, now: float) -> bool:
        """No sign of life for `worker_timeout` of uninterrupted Redis; `since` is when it was known to live."""
        last = self._last_sign.get(worker, (0, since))[1]
        return now - max(last, self._redis_since) >= self._times.worker_timeout

    def reserve(self, task_id: str) -> bool:
        """Some live worker has this link in hand."""
        return any(task_id in beat.links for beat in self._beats.values())

    def why_unclaimed(self, queue: str, task: str) -> Found:
        """Nobody has claimed a link of this task on this queue: who could?"""
        listening = [beat for beat in self._beats.values() if queue in beat.queues]
        if not listening:
            return Found(Finding.STALLED, f"no worker consumes {queue}")
        able = [beat for beat in listening if task in beat.tasks]
        if not able:
            names = ", ".join(sorted(beat.hostname for beat in listening))
            return Found(Finding.STALLED, f"task {task} not registered on {names}")
        return Found(Finding.WAITING, f"waiting for a free worker on {queue}")


def inspect(
    flight: Flight,
    entry: LaneEntry,
    rules: PipelineRules,
    queue: str,
    workers: Workers,
    times: WatchTimes,
    now: float,
) -> Found:
    """What is to be done about a chain without outcome. Notes in `flight` what it has seen."""
    _note_progress(flight, entry, now)
    if now < flight.publish_after:
        return Found(Finding.WAITING, "waiting until the superseded link is stopped")
    if entry.claim is None:
        return _unclaimed(flight, rules, queue, workers, times, now)
    return _claimed(flight, entry, rules, workers, now)


def _note_progress(flight: Flight, entry: LaneEntry, now: float) -> None:
    if entry.link != flight.link or (entry.claim is None and flight.claim is not None):
        flight.published_at, flight.publishes = now, 1
    if entry.claim != flight.claim and entry.claim is not None:
        flight.claimed_at, flight.claim_seen_ms, flight.missed = now, 0, set()
    flight.link, flight.claim = entry.link, entry.claim


def _unclaimed(
    flight: Flight, rules: PipelineRules, queue: str, workers: Workers, times: WatchTimes, now: float
) -> Found:
    interval = min(times.claim_timeout * 2.0 ** min(max(flight.publishes - 1, 0), 16), PUBLISH_MAX_INTERVAL)
    why = workers.why_unclaimed(queue, flight.task(rules, flight.link))
    if now - flight.published_at < interval:
        return why if now - flight.dispatched_at >= times.claim_timeout else FINE
    if workers.reserve(link_id(flight.chain, flight.link)):
        return Found(Finding.WAITING, f"waiting for a free worker on {queue}")
    return Found(Finding.PUBLISH, why.reason)


def _claimed(flight: Flight, entry: LaneEntry, rules: PipelineRules, workers: Workers, now: float) -> Found:
    assert entry.claim is not None
    name = entry.claim.worker
    beat = workers.find(name)
    if workers.is_gone(name, flight.claimed_at, now):
        return Found(Finding.WORKER_LOST, f"worker {name} has given no sign of life")
    if beat is not None and _is_missed(flight, beat, entry):
        return Found(Finding.WORKER_LOST, f"worker {name} does not run link {flight.link} any more")
    if now - flight.claimed_at < rules.link_timeout:
        return FINE
    text = f"link {flight.link} runs for more than link_timeout={rules.link_timeout:g} s on {name}"
    if beat is not None and beat.pool != "prefork":
        return Found(Finding.STALLED, f"{text}; its pool ({beat.pool}) cannot be stopped from outside")
    return Found(Finding.TIMED_OUT, text)


def _is_missed(flight: Flight, beat: Heartbeat, entry: LaneEntry) -> bool:
    """Two heartbeats in a row, both written after the claim was seen, do not list the link. Another time than that of
    the one seen with the claim is a later one, also when the server's clock was set back since."""
    if not flight.claim_seen_ms:
        flight.claim_seen_ms = max(beat.written_ms, 1)
        return False
    if link_id(entry.chain, entry.link) in beat.links:
        flight.missed.clear()
    elif beat.written_ms != flight.claim_seen_ms:
        flight.missed.add(beat.written_ms)
    return len(flight.missed) >= 2
