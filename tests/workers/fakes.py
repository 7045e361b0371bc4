"""A ledger in memory that says what it is told to say, and a way to run a task as a worker would."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import redis
from celery import Celery

from bridge.entries import BatchHeader, Heartbeat, Outcome
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer
from bridge.ledger.notices import ErrorNotice
from bridge.ledger.payload import Carried, Payload, PayloadHeader, decode, encode
from bridge.records import Decode, Retry, Row, TopicPartition
from bridge.workers.installed import WorkerSettings
from bridge.workers.rules import TopicRules


def same_rules(topic: str) -> TopicRules:
    """The rules of a pipeline that says nothing, for every topic."""
    return TopicRules()


SETTINGS = WorkerSettings(
    group_id="g",
    ledger_url="redis://nowhere:1/0",
    rules_of=same_rules,
    link_timeout=5.0,
    claim_timeout=0.2,
    worker_timeout=15.0,
)
TP = TopicPartition("numbers", 0)


def ruled(retry: Retry | None = None, decode: Decode | None = None) -> WorkerSettings:
    """The settings of a worker of a pipeline with these options."""
    return replace(SETTINGS, rules_of=lambda topic: TopicRules(retry or Retry(), decode))


def payload(rows: Sequence[Row], *, links: int = 1, data: Sequence[object] | None = None, **about: Any) -> bytes:
    """The bytes that the bridge, or the link before, would have stored."""
    header = PayloadHeader(
        topic="numbers",
        partition=0,
        lane=about.get("lane", 0),
        chain="g.chain",
        attempt=about.get("attempt", 1),
        token=7,
        links=links,
        batches=about.get("batches") or (BatchHeader(rows[0][0], about.get("last", rows[-1][0]), len(rows), "size"),),
        carried=about.get("carried", Carried()),
        judged=about.get("judged"),
    )
    return encode(header, rows, data, compression=about.get("compression", "none"))


class FakeLedger:
    """Answers a claim with a payload, and keeps what is reported. `troubles` are raised first, one for each call.
    `slowest_s`: an earlier link of the chain ran so long."""

    def __init__(self, blob: bytes = b"") -> None:
        self.blob = blob
        self.slowest_s = 0.0
        self.took: list[float] = []
        self.refusals: list[str] = []
        self.troubles: list[BaseException] = []
        self.accepts = True
        self.claims: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []
        self.advanced: list[bytes | None] = []
        self.reported: list[ErrorNotice] = []

    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer:
        self._trouble()
        self.claims.append((worker, nonce))
        refused = self.refusals.pop(0) if self.refusals else ""
        return ClaimAnswer(None if refused else self.blob, refused, self.slowest_s)

    def advance(self, handle: Handle, nonce: str, blob: bytes | None, took_s: float = 0.0) -> bool:
        self._trouble()
        self.took.append(took_s)
        self.advanced.append(blob)
        return self.accepts

    def complete(self, handle: Handle, worker: str, nonce: str, outcome: Outcome) -> bool:
        self._trouble()
        self.outcomes.append(outcome)
        return self.accepts

    def report_error(self, handle: Handle, notice: ErrorNotice) -> bool:
        self._trouble()
        self.reported.append(notice)
        return True

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)

    @property
    def outcome(self) -> Outcome:
        """The only outcome."""
        assert len(self.outcomes) == 1, self.outcomes
        return self.outcomes[0]

    @property
    def passed_on(self) -> Payload:
        """What the only advance gave to the next link."""
        assert len(self.advanced) == 1, self.advanced
        assert self.advanced[0] is not None
        return decode(self.advanced[0])


class FakeConnection:
    """Stands for `bridge.workers.installed.Connection`."""

    def __init__(self, ledger: FakeLedger, settings: WorkerSettings = SETTINGS) -> None:
        self.ledger = ledger
        self.settings = settings
        self.backend = None


class Bench:
    """Runs tasks as links of a chain, in this process."""

    def __init__(self, app: Celery, ledger: FakeLedger) -> None:
        self.app = app
        self.ledger = ledger
        self.chain: Any = None

    def run(self, task: Any, *args: Any, link: int = 1, **kwargs: Any) -> None:
        """Call the task as a worker does for a link's message; raises what the link raises."""
        handle = Handle.of("g", TP, 0, "g.chain", link).to_message()
        with self.request(task, (handle, *args), kwargs):
            task(handle, *args, **kwargs)

    @contextmanager
    def request(self, task: Any, args: Sequence[Any], kwargs: Any) -> Iterator[None]:
        """The request that a worker sets up; `chain` is what is left of it afterwards."""
        rest = [{"task": "next"}]
        task.push_request(args=args, kwargs=kwargs, called_directly=False, is_eager=False, id="g.chain-1", chain=rest)
        try:
            yield
        finally:
            self.chain = task.request.chain
            task.pop_request()


class FakeHeartbeats:
    """A registry of workers in memory."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.alive = True
        self.forgotten: list[str] = []
        self.trouble: BaseException | None = None

    def write_heartbeat(self, heartbeat: Heartbeat, expiry_s: float) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.beats.append(heartbeat)

    def is_alive(self, worker: str) -> bool:
        return self.alive

    def forget_worker(self, worker: str) -> None:
        self.forgotten.append(worker)


def away() -> redis.ConnectionError:
    """What redis-py raises while the server is away."""
    return redis.ConnectionError("connection refused")
