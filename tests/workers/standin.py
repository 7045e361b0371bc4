"""What plays the bridge in these tests: dispatches chains through the real ledger and publishes their links."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from bridge.entries import NOTHING_SEEN, BatchHeader, Counters, LaneEntry, Outcome, link_id
from bridge.ledger.connect import connect
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import DispatchCommand, Ledger
from bridge.ledger.notices import ErrorNotice, error_channel, read_error
from bridge.ledger.payload import PayloadHeader, encode
from bridge.records import Row, TopicPartition
from tests.waiting import wait_until

_serial = itertools.count(1)


@dataclass(frozen=True)
class Link:
    """One link of a chain; `options` are Celery's message options."""

    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """A chain that was dispatched."""

    chain: str
    links: tuple[Link, ...]
    lane: int
    first: int
    last: int


def rows(*values: bytes | int, first: int = 10) -> list[Row]:
    """Records with these values at consecutive offsets."""
    return [
        (first + index, 1000 + index, b"k", value if isinstance(value, bytes) else b"%d" % value, ())
        for index, value in enumerate(values)
    ]


class StandIn:
    """The owner of one partition of a group."""

    def __init__(self, url: str, group: str, broker: Celery | None = None, topic: str = "numbers") -> None:
        self.client = connect(url)
        self.ledger = Ledger(self.client, group)
        self.group = group
        self.tp = TopicPartition(topic, 0)
        self.bridge = f"bridge-{group}"
        self.app = broker or Celery("stand-in", broker=url)
        self.owner = self.ledger.assign(self.tp, self.bridge, 0).owner
        assert self.ledger.restore(self.tp, self.owner, {}, rule="partition", topic_id="t", base=0)
        self._heard = self.client.pubsub()  # type: ignore[no-untyped-call]
        self._heard.psubscribe(f"celery-task-meta-{group}.*")
        self._heard.subscribe(error_channel(self.bridge))
        self.errors: list[dict[str, Any]] = []
        self.notices: list[ErrorNotice] = []

    @property
    def hostname(self) -> str:
        """What the group's worker is to be called: heartbeats of all groups lie side by side."""
        return f"{self.group}@test"

    def send(self, links: Sequence[Link], records: Sequence[Row], *about: Any, **named: Any) -> Sent:
        """Dispatch and publish; takes what `dispatch` takes."""
        sent = self.dispatch(links, records, *about, **named)
        self.publish(sent)
        return sent

    def dispatch(
        self,
        links: Sequence[Link],
        records: Sequence[Row],
        lane: int = 0,
        attempt: int = 1,
        judged: Outcome | None = None,
    ) -> Sent:
        """The ledger's step alone; `judged`: the one link is asked about this outcome."""
        first, last, number = records[0][0], records[-1][0], next(_serial)
        chain = f"{self.group}.{self.tp.topic}-0.{first}-{last}.{number}"
        header = PayloadHeader(
            *self.tp,
            lane=lane,
            chain=chain,
            attempt=attempt,
            token=number,
            links=len(links),
            batches=(BatchHeader(first, last, len(records), "size"),),
            judged=judged,
        )
        if judged is None:
            self._settle(lane)
        before = self.entry(lane)
        command = DispatchCommand(
            tp=self.tp,
            owner=self.owner,
            lane=lane,
            chain=chain,
            first=first,
            last=last,
            links=len(links),
            expect=before.seen if before else NOTHING_SEEN,
            base=0,
            counters=Counters(),
            payload=encode(header, records),
            judged=judged,
        )
        assert self.ledger.dispatch([command]) == ["ok"]
        return Sent(chain, tuple(links), lane, first, last)

    def publish(self, sent: Sent, link: int = 1) -> None:
        """Publish link `link` with the rest of its chain, as the bridge does."""
        signatures = [self._signature(sent, number) for number in range(link, len(sent.links) + 1)]
        begin, *rest = signatures
        self.app.send_task(
            begin["task"], begin["args"], begin["kwargs"], chain=rest[::-1] or None, retry=False, **begin["options"]
        )

    def entry(self, lane: int = 0) -> LaneEntry | None:
        """The lane in the ledger."""
        return self.ledger.read([self.tp])[self.tp].lanes.get(lane)

    def outcome(self, sent: Sent, timeout: float = 30.0) -> Outcome:
        """What the chain reported."""

        def reported() -> Outcome | None:
            entry = self.entry(sent.lane)
            return entry.outcome if entry is not None and entry.chain == sent.chain else None

        found = wait_until(reported, timeout, f"the outcome of {sent.chain}")
        assert found is not None
        return found

    def listen(self) -> None:
        """Take in what was heard since the last call."""
        while (message := self._heard.get_message(timeout=0.01)) is not None:
            if message["type"] not in {"message", "pmessage"}:
                continue
            if message["channel"] == error_channel(self.bridge).encode():
                self.notices.append(read_error(message["data"]))
            else:
                self.errors.append(json.loads(message["data"]))

    def error_of(self, sent: Sent, link: int = 1, timeout: float = 30.0) -> dict[str, Any]:
        """The error that Celery stored for a link."""

        def heard() -> dict[str, Any] | None:
            self.listen()
            wanted = link_id(sent.chain, link)
            return next((error for error in self.errors if error["task_id"] == wanted), None)

        found = wait_until(heard, timeout, f"a stored error of link {link} of {sent.chain}")
        assert found is not None
        return found

    def stored_error(self, sent: Sent, link: int, timeout: float = 30.0) -> dict[str, Any]:
        """The error that is kept for a link, told or not."""

        def kept() -> dict[str, Any] | None:
            blob = self.client.get(f"celery-task-meta-{link_id(sent.chain, link)}")
            return json.loads(blob) if isinstance(blob, bytes) else None

        found = wait_until(kept, timeout, f"an error that is kept of link {link} of {sent.chain}")
        assert found is not None
        return found

    def journal(self) -> list[dict[str, Any]]:
        """What the tasks wrote down."""
        return [json.loads(entry) for entry in self.client.lrange(f"journal:{self.group}", 0, -1)]

    def wait_for_entry(self, timeout: float = 30.0, **wanted: Any) -> dict[str, Any]:
        """The first journal entry that has these values."""

        def written() -> dict[str, Any] | None:
            return next((entry for entry in self.journal() if wanted.items() <= entry.items()), None)

        found = wait_until(written, timeout, f"journal entry {wanted}")
        assert found is not None
        return found

    def open_gate(self, name: str) -> None:
        """Let one task that waits at the gate go on."""
        self.client.rpush(f"gate:{self.group}:{name}", "1")

    def close(self) -> None:
        """End the connections."""
        self._heard.close()
        self.client.close()

    def _settle(self, lane: int) -> None:
        entry = self.entry(lane)
        if entry is not None and entry.outcome is not None and entry.outcome.rejected:
            upto = entry.outcome.next_offset
            assert self.ledger.settle(self.tp, self.owner, lane, entry.chain, upto, 0)

    def _signature(self, sent: Sent, number: int) -> dict[str, Any]:
        link = sent.links[number - 1]
        handle = Handle.of(self.group, self.tp, sent.lane, sent.chain, number)
        queue = f"lane-{sent.lane}"
        return {
            "task": link.task,
            "args": [handle.to_message(), *link.args],
            "kwargs": dict(link.kwargs),
            "options": {
                "task_id": handle.link_id,
                "queue": queue,
                "exchange": "",
                "routing_key": queue,
                "ignore_result": True,
                "argsrepr": f"{self.tp} {sent.first}..{sent.last}",
                "kwargsrepr": "{}",
                **link.options,
            },
            "subtask_type": None,
            "immutable": True,
        }
