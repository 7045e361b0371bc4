"""What a bridge of a cell writes down: what its core is told and what it wants, a line each.

`install` wraps `Core.handle` in this process and changes nothing else. Lines come in the order in which things happen;
`revoked` comes behind the last commit that it brings about, so that commits lie between `assigned` and `revoked`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core
from bridge.core.commits import read_metadata
from bridge.records import OFFSET, TopicPartition
from tests.faults import history
from tests.faults.places import pack


def install(directory: str, name: str) -> None:
    """From now on this process's cores are recorded in `directory`, as the bridge `name`."""
    recorder = Recorder(lambda event, **about: history.write(directory, {"event": event, **about}))
    handle = Core.handle

    def recorded(core: Core, event: ev.Event, now: float) -> list[ef.Effect]:
        carried = recorder.before(core, event)
        effects = handle(core, event, now)
        recorder.after(core, event, effects, carried)
        return effects

    Core.handle = recorded  # type: ignore[assignment, method-assign]
    recorder.write("started", bridge=name)


def ended(directory: str) -> None:
    """This process comes to its end by itself."""
    history.write(directory, {"event": "ended"})


class Recorder:
    """Turns events and effects into lines; remembers effects until their answers come."""

    def __init__(self, write: Callable[..., None], clock: Callable[[], float] = time.monotonic) -> None:
        self.write = write
        self._clock = clock
        #: chain id -> what is written when the ledger has taken it
        self._dispatches: dict[str, dict[str, Any]] = {}
        self._letters: dict[tuple[TopicPartition, int, int], list[int]] = {}
        self._settles: dict[tuple[TopicPartition, int, int], tuple[int, list[int]]] = {}
        #: partition, serial and offset of a commit -> owner number and when, for each that has no answer yet
        self._tries: dict[tuple[TopicPartition, int, int], list[tuple[int, float]]] = {}
        self._on_event: dict[type, Callable[..., None]] = {
            ev.Dispatched: self._dispatched,
            ev.DeadLettersWritten: self._written,
            ev.Settled: self._settled,
            ev.CommitAnswered: self._commit_answered,
            ev.EffectFailed: self._effect_failed,
        }
        self._on_effect: dict[type, Callable[..., None]] = {
            ef.Dispatch: self._dispatch,
            ef.WriteDeadLetters: self._write_letters,
            ef.Settle: self._settle,
            ef.Commit: self._commit,
            ef.Report: self._report,
            ef.PauseFetching: lambda core, effect: self.write("paused", **_where(effect.tp)),
            ef.ResumeFetching: lambda core, effect: self.write("resumed", **_where(effect.tp)),
        }

    def before(self, core: Core, event: ev.Event) -> Collection[str]:
        """An event is about to be handled; the chains in flight, if it may bring their outcomes."""
        if isinstance(event, ev.Assigned):
            self.write("assigned", partitions=event.partitions)
        elif isinstance(event, ev.Lost):
            self.write("lost", partitions=event.partitions)
        elif isinstance(event, (ev.OutcomeHeard, ev.LanesRead)):
            return set(core.chains)
        return ()

    def after(self, core: Core, event: ev.Event, effects: Iterable[ef.Effect], carried: Collection[str]) -> None:
        """It has been handled, and brought about `effects`."""
        if (told := self._on_event.get(type(event))) is not None:
            told(event)
        if carried:
            self._outcomes(core, event, carried)
        for effect in effects:
            if isinstance(effect, ef.StartFetching):
                relocated = not isinstance(event, ev.Restored)
                self.write("start", **_where(effect.tp), offset=effect.offset, relocated=relocated)
            elif (wanted := self._on_effect.get(type(effect))) is not None:
                wanted(core, effect)
        if isinstance(event, ev.Revoked):
            self.write("revoked", partitions=event.partitions)

    # --- chains ------------------------------------------------------------------------------------------------------

    def _dispatch(self, core: Core, effect: ef.Dispatch) -> None:
        chain = effect.chain
        if chain.id not in self._dispatches:
            self._dispatches[chain.id] = {
                **_where(effect.tp, chain.lane),
                "attempt": chain.attempt,
                "owner": effect.owner.number,
                "first": chain.first,
                "last": chain.last,
                "offsets": pack([row[OFFSET] for row in effect.rows]),
                "asked": self._clock(),
                "judged": effect.judged is not None,
            }

    def _dispatched(self, event: ev.Dispatched) -> None:
        about = self._dispatches.pop(event.chain, None)
        if about is None:
            return  # answered before: the effect was repeated
        if event.answer is ev.DispatchAnswer.OK:
            self.write("dispatched", chain=event.chain, **about)
        else:
            self.write("refused", chain=event.chain, answer=event.answer.value)

    def _outcomes(self, core: Core, event: ev.Event, carried: Collection[str]) -> None:
        """Outcomes that the core has taken: their chains are in flight no more."""
        if isinstance(event, ev.OutcomeHeard):
            found = [(event.tp, event.lane, event.seen.chain, event.outcome)]
        else:
            assert isinstance(event, ev.LanesRead)
            entries = [(tp, lane) for tp, (_, entry) in event.entries.items() for lane in entry.lanes.values()]
            found = [(tp, lane.lane, lane.chain, lane.outcome) for tp, lane in entries if lane.outcome is not None]
        for tp, lane, chain, outcome in found:
            if chain in carried and chain not in core.chains:
                rejected = [each.offset for each in outcome.rejected]
                about = {"chain": chain, "kind": outcome.kind, "next": outcome.next_offset, "rejected": rejected}
                self.write("outcome", **_where(tp, lane), **about)

    # --- records that are given up -----------------------------------------------------------------------------------

    def _write_letters(self, core: Core, effect: ef.WriteDeadLetters) -> None:
        self._letters[effect.tp, effect.serial, effect.number] = [letter.row[OFFSET] for letter in effect.letters]

    def _written(self, event: ev.DeadLettersWritten) -> None:
        offsets = self._letters.get((event.tp, event.serial, event.number))
        if offsets and event.is_owner:
            self.write("letters", **_where(event.tp), offsets=offsets)

    def _settle(self, core: Core, effect: ef.Settle) -> None:
        """What is at stake and gets no letter is skipped."""
        key = (effect.tp, effect.serial, effect.number)
        partition = core.partitions.get(effect.tp)
        lane = partition.lanes.get(effect.lane) if partition is not None else None
        if lane is not None and lane.outcome is not None and key not in self._settles:
            letters = self._letters.get(key, [])
            self._settles[key] = effect.upto, [each for each in lane.outcome.at_stake if each not in letters]

    def _settled(self, event: ev.Settled) -> None:
        key = (event.tp, event.serial, event.number)
        if event.accepted and key in self._settles:
            upto, skipped = self._settles.pop(key)
            self._letters.pop(key, None)
            self.write("settled", **_where(event.tp, event.lane), upto=upto, skipped=skipped)

    # --- commits -----------------------------------------------------------------------------------------------------

    def _commit(self, core: Core, effect: ef.Commit) -> None:
        entries = []
        for tp, entry in effect.entries.items():
            owner = _owner_in(entry.metadata)
            entries.append([*tp, entry.offset, owner])
            self._tries.setdefault((tp, entry.serial, entry.offset), []).append((owner, self._clock()))
        self.write("commit_try", entries=entries)

    def _commit_answered(self, event: ev.CommitAnswered) -> None:
        answered: dict[str, list[list[object]]] = {"commit_ok": [], "commit_err": []}
        for tp, (serial, offset, answer, text) in event.answers.items():
            owner, tried_at = self._first_try(tp, serial, offset)
            name = "commit_ok" if answer is ev.CommitAnswer.OK else "commit_err"
            answered[name].append([*tp, offset, text, owner, tried_at])
        for name, entries in answered.items():
            if entries:
                self.write(name, entries=entries)

    def _effect_failed(self, event: ev.EffectFailed) -> None:
        if isinstance(event.effect, ef.Commit):
            entries = [
                [*tp, entry.offset, event.error, *self._first_try(tp, entry.serial, entry.offset)]
                for tp, entry in event.effect.entries.items()
            ]
            self.write("commit_err", entries=entries)

    def _first_try(self, tp: TopicPartition, serial: int, offset: int) -> tuple[int, float]:
        """Owner number and time of the oldest commit of this that has no answer yet: it has one now."""
        tries = self._tries.get((tp, serial, offset), [])
        return tries.pop(0) if tries else (0, 0.0)

    def _report(self, core: Core, effect: ef.Report) -> None:
        self.write("report", level=effect.level, action=effect.action, text=effect.text)


def _owner_in(metadata: str) -> int:
    found = read_metadata(metadata)
    return found.owner if found is not None else 0


def _where(tp: TopicPartition, lane: int | None = None) -> dict[str, Any]:
    about: dict[str, Any] = {"topic": tp.topic, "partition": tp.partition}
    return about if lane is None else {**about, "lane": lane}
