"""The ledger: what is in flight, per partition, in one Redis hash; records in a key of their own for each link.

Rules: one method per step of the protocol, one script per step, atomic, one round trip, safe to repeat. Redis' errors
come out unchanged: then the step was done or it was not, and the caller does it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain as flat
from typing import Any, NamedTuple

import redis
from msgspec import msgpack

from bridge.entries import FORMAT, Counters, Heartbeat, Outcome, Owner, PartitionEntry, Seen
from bridge.ledger.formats import check_format
from bridge.ledger.handle import Handle
from bridge.ledger.keys import hash_key, partition_text, payload_key, states_name
from bridge.ledger.notices import ErrorNotice, encode_error
from bridge.ledger.outcomes import encode_counters, encode_outcome
from bridge.ledger.reading import claim_text, partition_entry
from bridge.ledger.registry import Registry
from bridge.ledger.script import Command, Script, run, run_all
from bridge.records import TopicPartition

#: seconds that a payload lives until its script has accepted it: what a killed process left behind is soon gone
STAGED_S = 60

#: bytes up to which a payload goes through its script: one command costs the bridge less than two, and Redis no more
THROUGH_SCRIPT = 4096

_ASSIGN = Script("assign")
_RESTORE = Script("restore")
_CLEAR = Script("clear")
_CHANGE_RULE = Script("change_rule")
_DISPATCH = Script("dispatch")
_CLAIM = Script("claim")
_ADVANCE = Script("advance")
_COMPLETE = Script("complete")
_FAULT = Script("fault")
_DISPOSE = Script("dispose")
_SETTLE = Script("settle")
_KEEP = Script("keep")
_REPORT_ERROR = Script("report_error")

#: what a script says when the payload that was written just before it is not there: the server is full
_NO_PAYLOAD = b"no payload"

_heartbeats = msgpack.Decoder(Heartbeat)


@dataclass(frozen=True, slots=True)
class DispatchCommand:
    """A new chain for a lane that must still be as `expect` says; `first` and `last` are offsets, `base` is the owner's
    position, `payload` the encoded records. `publish_after_s`: nobody publishes it for that many seconds. `rule`: the
    lane rule that the owner follows, refused as "not owner" when the ledger's is another ("" is not compared).
    `judged`: the chain is asked about this outcome, whose rejected records stay unsettled; they keep any other chain
    out."""

    tp: TopicPartition
    owner: Owner
    lane: int
    chain: str
    first: int
    last: int
    links: int
    expect: Seen
    base: int
    counters: Counters
    payload: bytes
    publish_after_s: float = 0.0
    rule: str = ""
    judged: Outcome | None = None


class ClaimAnswer(NamedTuple):
    """`refused` "": the link is ours, `payload` holds its records. Else why not: `not current`, `outcome`, `claimed`,
    or `no payload` (lost: the claim stands, and the sweep starts a new attempt because nobody runs it). `slowest_s`:
    seconds that the slowest of the links before it ran."""

    payload: bytes | None
    refused: str
    slowest_s: float = 0.0


class Ledger:
    """The ledger of one consumer group. May be shared by threads."""

    def __init__(self, client: redis.Redis, group: str) -> None:
        self._client = client
        self._group = group
        self._workers = Registry(client, "workers")
        self._bridges = Registry(client, states_name(group))

    # --- steps of the owner ------------------------------------------------------------------------------------------

    def assign(self, tp: TopicPartition, bridge: str, metadata_owner: int) -> PartitionEntry:
        """Make `bridge` the owner, with a number above all that were and above `metadata_owner`.

        Answers the entry as it stands then. Nothing is refused: who is out may get here. Raises UnknownFormat.
        """
        found, *rest = run(self._client, _ASSIGN.command((self._key(tp),), (FORMAT, bridge, metadata_owner)))
        check_format(f"the ledger's hash of {tp}", int(found))
        seconds, micros, flat_fields = rest
        fields = dict(zip(flat_fields[::2], flat_fields[1::2], strict=True))
        return partition_entry(fields, _milliseconds(seconds, micros))

    def restore(
        self,
        tp: TopicPartition,
        owner: Owner,
        watermarks: Mapping[int, int],
        *,
        rule: str,
        topic_id: str,
        base: int,
    ) -> bool:
        """Raise watermarks and base to what the owner knows, name rule and topic where there are none.
        False: somebody else owns the partition."""
        args = (*owner, rule, topic_id, base, *flat.from_iterable(watermarks.items()))
        return self._accepted(_RESTORE.command((self._key(tp),), args))

    def clear(self, tp: TopicPartition, owner: Owner, ended: Sequence[str]) -> bool:
        """Forget lanes, base, rule, topic id and the payloads in flight; the owner stays.
        False: somebody else owns the partition, or a link that is not among `ended` (ids) is claimed and has no
        outcome."""
        return self._accepted(_CLEAR.command((self._key(tp),), (*owner, *ended)))

    def change_rule(self, tp: TopicPartition, owner: Owner, rule: str, base: int) -> bool:
        """Let `rule` decide the lanes: the old lanes go, everything below `base` is finished in every new one.
        False: somebody else owns the partition."""
        return self._accepted(_CHANGE_RULE.command((self._key(tp),), (*owner, rule, base)))

    def dispatch(self, commands: Sequence[DispatchCommand]) -> list[str]:
        """Put a new chain into each lane: `ok`, `not owner` or `changed` for each command, in order.

        A chain that the lane holds already is `ok` and stays as it is. When this raises, some may be done: give all
        of them again.
        """
        if len(commands) == 1 and len(commands[0].payload) <= THROUGH_SCRIPT:
            return [str(run(self._client, self._dispatch(commands[0], commands[0].payload)).decode())]
        sent: list[Command] = []
        for command in commands:
            sent += (_stage(self._payload_key(command), command.payload), self._dispatch(command))
        answers = run_all(self._client, sent)[1::2]
        return [self._heard(command, answer) for command, answer in zip(commands, answers, strict=True)]

    def dispose(self, tp: TopicPartition, owner: Owner, lane: int, chain: str) -> bool:
        """Dead letters of the chain's outcome are about to be written: until it is settled they may be in their topic.
        May be repeated.

        False: somebody else owns the partition, or the lane does not hold an outcome of that chain."""
        return self._accepted(_DISPOSE.command((self._key(tp),), (*owner, lane, chain)))

    def settle(self, tp: TopicPartition, owner: Owner, lane: int, chain: str, upto: int, base: int) -> bool:
        """The rejected records of the chain's outcome, if it has any, are disposed of, and so is everything below
        `upto`: the watermark rises to it. May be repeated.

        False: somebody else owns the partition, or the lane does not hold an outcome of that chain."""
        return self._accepted(_SETTLE.command((self._key(tp),), (*owner, lane, chain, upto, base)))

    def keep(self, tp: TopicPartition, owner: Owner) -> bool:
        """Put off the expiry of a partition that stands still (30 days after the owner's last step).
        False: somebody else owns the partition."""
        return self._accepted(_KEEP.command((self._key(tp),), owner))

    def fault(self, tp: TopicPartition, lane: int, chain: str, link: int, claimed_by: str, outcome: Outcome) -> bool:
        """Give the chain `outcome` if `link` is current, has none, and is claimed by that worker (unclaimed when
        `claimed_by` is ""). The owner is notified."""
        partition = partition_text(self._group, tp)
        keys = (hash_key(partition), payload_key(partition, chain, link))
        args = (partition, lane, chain, link, claimed_by, *_outcome_args(outcome))
        return self._accepted(_FAULT.command(keys, args))

    def read(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, PartitionEntry]:
        """All entries, an empty one for a partition that the ledger does not know. Raises UnknownFormat."""
        wanted = list(tps)
        answers = run_all(self._client, [("TIME",), *(("HGETALL", self._key(tp)) for tp in wanted)])
        now_ms = _milliseconds(*_good(answers[0]))
        return {tp: partition_entry(_good(fields), now_ms) for tp, fields in zip(wanted, answers[1:], strict=True)}

    # --- steps of a worker -------------------------------------------------------------------------------------------

    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer:
        """Claim the link for this delivery, and fetch its records. The same `nonce` may ask again.

        `nonce` is drawn for the delivery and has no spaces. Raises UnknownFormat.
        """
        args = (FORMAT, handle.lane, handle.chain, handle.link, claim_text(worker, nonce))
        asked: list[Command] = [_CLAIM.command((handle.hash_key,), args), ("GET", handle.payload_key)]
        (answer, *slowest), payload = map(_good, run_all(self._client, asked))
        refused = answer.decode()
        if refused.startswith("format "):
            check_format(f"the ledger's hash of {handle.tp}", int(refused.split()[1]))
        if not refused and payload is None:
            return ClaimAnswer(None, _NO_PAYLOAD.decode())
        return ClaimAnswer(None, refused) if refused else ClaimAnswer(payload, "", int(slowest[0]) / 1e6)

    def advance(self, handle: Handle, nonce: str, payload: bytes | None, took_s: float = 0.0) -> bool:
        """Let the next link be claimed; it works on `payload`, or on the same records when that is None. `took_s`: the
        seconds that this one ran.

        False: the link is not ours any more. The nonce that has just advanced is told True again.
        """
        keys = (handle.hash_key, handle.payload_key, handle.next().payload_key)
        args = (handle.lane, handle.chain, handle.link, handle.link + 1, nonce, int(took_s * 1e6))
        if payload is None:
            return bool(run(self._client, _ADVANCE.command(keys, (*args, "keep"))) == b"yes")
        step = _ADVANCE.command(keys, (*args, "stored"))
        answer = _good(run_all(self._client, [_stage(keys[2], payload), step])[1])
        if answer == _NO_PAYLOAD:
            answer = run(self._client, _ADVANCE.command(keys, (*args, "given", payload)))
        return bool(answer == b"yes")

    def complete(self, handle: Handle, worker: str, nonce: str, outcome: Outcome) -> bool:
        """Report the chain's outcome and free its payload; the owner is notified.

        False: the link is not ours any more, or the chain has another outcome. The same outcome is told True again.
        """
        claim = claim_text(worker, nonce)
        args = (handle.partition, handle.lane, handle.chain, handle.link, claim, *_outcome_args(outcome))
        return self._accepted(_COMPLETE.command((handle.hash_key, handle.payload_key), args))

    def report_error(self, handle: Handle, notice: ErrorNotice) -> bool:
        """Tell the partition's owner of an error that Celery does not store. False: nobody owns it."""
        return self._accepted(_REPORT_ERROR.command((handle.hash_key,), (encode_error(notice),)))

    # --- who lives ---------------------------------------------------------------------------------------------------

    def write_heartbeat(self, heartbeat: Heartbeat, expiry_s: float) -> None:
        """The worker lives; it counts as gone after `expiry_s` seconds without another heartbeat."""
        self._workers.write(heartbeat.worker, msgpack.encode(heartbeat), expiry_s)

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        """The last heartbeat of every living worker, of any group: a worker serves whatever its queues bring."""
        return tuple(
            replace(_heartbeats.decode(words.blob), written_ms=words.written_ms)
            for words in self._workers.read().values()
        )

    def forget_worker(self, worker: str) -> None:
        """The worker ends."""
        self._workers.forget(worker)

    def is_alive(self, worker: str) -> bool:
        """Whether the worker's heartbeat has not expired."""
        return self._workers.has(worker)

    def publish_state(self, bridge: str, blob: bytes, expiry_s: float) -> None:
        """Show the state of a bridge to every view, for `expiry_s` seconds."""
        self._bridges.write(bridge, blob, expiry_s)

    def forget_state(self, bridge: str) -> None:
        """The bridge has ended: no view shows it any more."""
        self._bridges.forget(bridge)

    def states(self) -> dict[str, bytes]:
        """The state of every living bridge of the group."""
        return {bridge: words.blob for bridge, words in self._bridges.read().items()}

    # --- inside ------------------------------------------------------------------------------------------------------

    def _key(self, tp: TopicPartition) -> str:
        return hash_key(partition_text(self._group, tp))

    def _payload_key(self, command: DispatchCommand) -> str:
        return payload_key(partition_text(self._group, command.tp), command.chain, 1)

    def _dispatch(self, command: DispatchCommand, payload: bytes = b"") -> Command:
        args = (
            *command.owner,
            command.lane,
            command.chain,
            command.first,
            command.last,
            command.links,
            command.base,
            encode_counters(command.counters),
            int(command.publish_after_s * 1000),
            payload,
            *command.expect,
            command.rule,
            b"" if command.judged is None else encode_outcome(command.judged),
            int(command.judged is not None and bool(command.judged.rejected)),
        )
        return _DISPATCH.command((self._key(command.tp), self._payload_key(command)), args)

    def _heard(self, command: DispatchCommand, answer: Any) -> str:
        if answer == _NO_PAYLOAD:  # full: once more with the payload inside the script, which frees the old one first
            answer = run(self._client, self._dispatch(command, command.payload))
        return str(_good(answer).decode())

    def _accepted(self, command: Command) -> bool:
        return bool(run(self._client, command))


def _stage(key: str, payload: bytes) -> Command:
    """Write a payload in front of the script that accepts it: a big one would cost Redis twice the time there."""
    return ("SET", key, payload, "EX", STAGED_S, "NX")


def _outcome_args(outcome: Outcome) -> tuple[bytes, int, int]:
    return encode_outcome(outcome), outcome.watermark, int(bool(outcome.rejected))


def _good(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _milliseconds(seconds: Any, micros: Any) -> int:
    return int(seconds) * 1000 + int(micros) // 1000
