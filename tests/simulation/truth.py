"""What really happened, and what may never happen: the promises, checked after every step of a simulation.

A `Violation` names the promise. Excused is only what the promises themselves except: executions that were claimed
when their worker was declared dead, their kill was not confirmed, or Redis lost the ledger; and after Redis lost it,
finished records above the committed offset.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bridge.core.commits import read_metadata
from bridge.core.effects import CommitEntry, Dispatch, Settle, WriteDeadLetters
from bridge.core.lanes import lane_count, lane_of
from bridge.entries import Outcome, Owner, link_id
from bridge.records import OFFSET, Row, TopicPartition
from tests.simulation.kafka import Kafka
from tests.simulation.ledger import Ledger

Place = tuple[TopicPartition, str, int]  # partition, lane rule, lane


class Violation(AssertionError):
    """A promise is broken."""


@dataclass(eq=False, slots=True)
class Execution:
    """A worker runs these rows as link `link` of a chain."""

    place: Place
    chain: str
    link: int
    worker: str
    rows: tuple[Row, ...]
    excused: bool = False


@dataclass(slots=True)
class Truth:
    """The history so far."""

    kafka: Kafka
    ledger: Ledger
    finished: dict[TopicPartition, set[int]] = field(default_factory=lambda: defaultdict(set))
    ran: dict[tuple[TopicPartition, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    running: list[Execution] = field(default_factory=list)
    #: every execution from claim to report
    claimed: list[Execution] = field(default_factory=list)
    current: dict[Place, str] = field(default_factory=dict)
    may_repeat: dict[TopicPartition, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: partitions whose ledger is older than their owner, until the next one is confirmed
    rolled_back: set[TopicPartition] = field(default_factory=set)
    drawn_by_zombies: set[tuple[TopicPartition, Owner]] = field(default_factory=set)
    #: chains that came back with an older state of Redis
    old_chains: set[str] = field(default_factory=set)
    #: the lane rule that the ledger named last
    rules: dict[TopicPartition, str] = field(default_factory=dict)
    links: int = 1
    may_give_up: Callable[[TopicPartition, int], bool] = lambda tp, offset: False
    #: the dead letters that a broker has taken
    letters: Counter[tuple[TopicPartition, int]] = field(default_factory=Counter)
    #: what is declared changes: a new on_failed task may be asked about what has a dead letter that was not settled
    declares: bool = False
    #: how often Redis was emptied or rolled back
    losses: int = 0
    #: per partition, how often what is finished began anew: an operator moved the offset, or the topic is another one
    eras: dict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))
    #: records that an operator has asked to skip
    to_skip: set[tuple[TopicPartition, int]] = field(default_factory=set)
    #: records that the first link of a chain leaves out
    undecodable: set[tuple[TopicPartition, int]] = field(default_factory=set)
    #: when each link that was revoked was revoked first
    terminated: dict[str, float] = field(default_factory=dict)
    max_running: int = 0
    _open: dict[TopicPartition, int] = field(default_factory=lambda: defaultdict(int))
    #: the era of each chain: what one of an earlier era runs and reports counts for nothing
    _era_of: dict[str, int] = field(default_factory=dict)
    _lanes: dict[Place, tuple[int, list[int]]] = field(default_factory=dict)

    # --- the log's lanes -------------------------------------------------------------------------------------------

    def lane_offsets(self, place: Place) -> list[int]:
        """The offsets of a lane's records, in order."""
        tp, rule, lane = place
        log = self.kafka.logs[tp]
        seen, found = self._lanes.setdefault(place, (0, []))
        if seen < len(log.rows):
            lanes = lane_count(rule)
            new = log.rows[seen:]
            found.extend(row[OFFSET] for row in new if rule == "partition" or lane_of(row[2], lanes) == lane)
            self._lanes[place] = (len(log.rows), found)
        return found

    def place(self, tp: TopicPartition, lane: int) -> Place:
        """The lane under the rule that the ledger holds now."""
        self.rules[tp] = self.ledger.rule(tp) or self.rules.get(tp, "partition")
        return tp, self.rules[tp], lane

    def is_done(self, tp: TopicPartition, offset: int) -> bool:
        """Finished, or deleted from the log."""
        return offset in self.finished[tp] or offset < self.kafka.logs[tp].start

    def first_open(self, tp: TopicPartition) -> int:
        """The first record that is not finished; the end of the log when all are."""
        offsets, index = self.kafka.logs[tp].offsets, self._open[tp]
        while index < len(offsets) and self.is_done(tp, offsets[index]):
            index += 1
        self._open[tp] = index
        return offsets[index] if index < len(offsets) else self.kafka.logs[tp].end

    # --- what is checked -------------------------------------------------------------------------------------------

    def dispatched(self, effect: Dispatch, *, is_fenced: bool, era: int) -> None:
        """The ledger has taken a dispatch of an owner that was confirmed in that era."""
        tp, rows = effect.tp, [row[OFFSET] for row in effect.rows]
        place = self.place(tp, effect.chain.lane)
        if (tp, effect.owner) in self.drawn_by_zombies:
            raise Violation(f"P9: {effect.chain.id} dispatched by an owner that had lost the partition before it drew")
        if is_fenced and tp not in self.rolled_back:
            raise Violation(f"P9: {effect.chain.id} dispatched by an owner whose successor is confirmed")
        if is_fenced:
            # Redis was rolled back to what a zombie knew: no fence is left until the rightful owner reads the ledger
            self.old_chains.add(effect.chain.id)
            self.may_repeat[tp].update(rows)
        self.current[place] = effect.chain.id
        self._era_of[effect.chain.id] = era
        if era == self.eras[tp]:
            self._check_dispatch(effect, place, rows)

    def _check_dispatch(self, effect: Dispatch, place: Place, rows: list[int]) -> None:
        tp = effect.tp
        for offset in self.lane_offsets(place):
            if effect.judged is not None and offset >= rows[0]:
                break
            if offset < rows[0] and not self.is_done(tp, offset):
                raise Violation(f"P2: {effect.chain.id} dispatched before {offset} was finished")
            if rows[0] <= offset <= rows[-1] and offset not in rows and not self.is_done(tp, offset):
                raise Violation(f"P1: {offset} is missing in {effect.chain.id}")
        self._excuse_new_task(effect)
        for offset in rows:
            if offset in self.finished[tp] and offset not in self.may_repeat[tp]:
                raise Violation(f"P4: finished record {offset} dispatched again in {effect.chain.id}")

    def _excuse_new_task(self, effect: Dispatch) -> None:
        if self.declares and effect.judged is not None:
            found = {row[OFFSET] for row in effect.rows if self.letters[effect.tp, row[OFFSET]]}
            self.may_repeat[effect.tp].update(found)

    def letter(self, effect: WriteDeadLetters) -> None:
        """The broker has taken dead letters."""
        for letter in effect.letters:
            offset = letter.row[OFFSET]
            if not self.may_give_up(effect.tp, offset):
                raise Violation(f"P6: {offset} is dead-lettered, nothing was wrong with it: {letter}")
            self.letters[effect.tp, offset] += 1

    def written(self, effect: WriteDeadLetters, losses: int, *, era: int) -> None:
        """The bridge hears that the broker has taken them. `losses`: how often Redis had been lost when it asked: a
        ledger that was lost since does not know what it was told."""
        if era != self.eras[effect.tp]:
            return
        offsets = {letter.row[OFFSET] for letter in effect.letters}
        self.finished[effect.tp] |= offsets
        if losses != self.losses:
            self.may_repeat[effect.tp] |= offsets

    def settled(self, effect: Settle, *, may_skip: bool, era: int) -> None:
        """The bridge counts everything below as finished."""
        tp = effect.tp
        if era != self.eras[tp]:
            return
        for offset in self.lane_offsets(self.place(tp, effect.lane)):
            if offset >= effect.upto:
                break
            if not self.is_done(tp, offset):
                may_pass = (may_skip and self.may_give_up(tp, offset)) or (tp, offset) in self.to_skip
                if not may_pass:
                    raise Violation(f"P1: {tp} settled below {effect.upto}, but {offset} is not disposed of")
                self.finished[tp].add(offset)

    def claim(self, execution: Execution) -> None:
        """The ledger has let a worker in."""
        if self.current.get(execution.place) != execution.chain:
            current = self.current.get(execution.place)
            raise Violation(f"P3: link {execution.link} of {execution.chain} claimed, current is {current}")
        execution.excused = execution.chain in self.old_chains
        self.claimed.append(execution)

    def begin(self, execution: Execution) -> None:
        """User code starts."""
        tp, rule, lane = execution.place
        done = self.ran[tp, execution.link]
        rows = [row[OFFSET] for row in execution.rows]
        is_void = self._is_void(execution)
        if not (execution.excused or is_void):
            self._check_begin(execution, rows, done)
        for other in self.running:
            beside = other.place[0] == tp and (other.place[1] != rule or other.place[2] == lane)
            if beside and not (other.excused or execution.excused):
                raise Violation(f"P3: {execution.chain} runs beside {other.chain}")
        if not is_void:
            done.update(rows)
        self.running.append(execution)
        self.max_running = max(self.max_running, sum(1 for e in self.running if e.place[0] == tp))

    def _is_void(self, execution: Execution) -> bool:
        return self._era_of[execution.chain] != self.eras[execution.place[0]]

    def _check_begin(self, execution: Execution, rows: list[int], done: set[int]) -> None:
        tp = execution.place[0]
        for offset in rows:
            if offset in self.finished[tp] and offset not in self.may_repeat[tp]:
                raise Violation(f"P4: finished record {offset} runs again in {execution.chain}")
        for offset in self.lane_offsets(execution.place):
            if offset >= rows[0]:
                break
            was_cut = execution.link > 1 and (tp, offset) in self.undecodable
            if offset not in done and not was_cut and not self.is_done(tp, offset):
                raise Violation(f"P2: link {execution.link}: {rows[0]} runs before {offset}")

    def end(self, execution: Execution) -> None:
        """User code has ended, or its process has."""
        if execution in self.running:
            self.running.remove(execution)

    def released(self, execution: Execution) -> None:
        """The worker holds no claim any more."""
        self.end(execution)
        if execution in self.claimed:
            self.claimed.remove(execution)

    def reported(self, place: Place, chain: str, rows: Iterable[int], outcome: Outcome) -> None:
        """The ledger has taken an outcome; `rows` is everything the chain was dispatched with."""
        tp = place[0]
        self.current.pop(place, None)
        if self._era_of[chain] != self.eras[tp]:
            return
        rejected = {rejection.offset for rejection in outcome.rejected}
        for offset in rows:
            if offset < outcome.next_offset and offset not in rejected and not self.is_done(tp, offset):
                for link in range(1, self.links + 1):
                    if offset not in self.ran[tp, link]:
                        raise Violation(f"P6: {offset} counts as finished, link {link} never ran it ({chain})")
                self.finished[tp].add(offset)

    def declared_dead(self, chain: str, link: int) -> None:
        """A fault was set for a claimed link: whoever still runs it is excused."""
        for execution in self.claimed:
            if (execution.chain, execution.link) == (chain, link):
                execution.excused = True

    def reset(self, tp: TopicPartition, offset: int) -> None:
        """An operator has moved the committed offset: what is below counts as finished, the rest as never run."""
        self.eras[tp] += 1
        self.finished[tp] = {each for each in self.kafka.logs[tp].offsets if each < offset}
        self.may_repeat[tp].clear()
        for link in range(1, self.links + 1):
            self.ran[tp, link] = {each for each in self.ran[tp, link] if each < offset}
        self._open[tp] = 0

    def recreated(self, tp: TopicPartition) -> None:
        """The topic was deleted and created again: nothing of it is finished, nothing has run."""
        self.reset(tp, 0)
        self._lanes = {place: seen for place, seen in self._lanes.items() if place[0] != tp}
        self.letters = Counter({key: count for key, count in self.letters.items() if key[0] != tp})

    def cleared(self, tp: TopicPartition, now: float) -> None:
        """The ledger has forgotten the partition: what was told to end, and had the time to, is excused."""
        for execution in self.claimed:
            told_at = self.terminated.get(link_id(execution.chain, execution.link), now)
            if execution.place[0] == tp and now - told_at >= 4.9:
                execution.excused = True

    def redis_lost(self) -> None:
        """Redis was emptied or rolled back to an older state."""
        self.losses += 1
        in_flight = self.ledger.in_flight()
        for execution in self.claimed:
            execution.excused = True
        for tp, done in self.finished.items():
            committed = self.kafka.reached(tp)
            self.may_repeat[tp].update(offset for offset in done if offset >= committed)
        self.current = {self.place(tp, lane): chain for (tp, lane), chain in in_flight.items()}
        self.old_chains.update(in_flight.values())

    def committed(self, tp: TopicPartition, entry: CommitEntry) -> None:
        """The broker has taken a commit."""
        _, text = self.kafka.committed.get(tp, (0, ""))
        old, new = read_metadata(text), read_metadata(entry.metadata)
        if new is None or (old is not None and new.owner < old.owner):
            raise Violation(f"P9: {tp} committed by {new}, {old} had committed before")
        if new.topic_id != self.kafka.logs[tp].topic_id:
            return  # the topic was created again, this owner does not know yet: its successors see another id
        if entry.offset < (before := self.kafka.reached(tp)):
            raise Violation(f"P1: {tp} committed {entry.offset} after {before}")
        self.below(tp, entry.offset, "committed")
        if old is None or new.owner > old.owner:
            self.rolled_back.discard(tp)

    def below(self, tp: TopicPartition, offset: int, what: str) -> None:
        """Everything below `offset` must be finished."""
        if (first := self.first_open(tp)) < offset:
            raise Violation(f"P1: {tp} {what} {offset}, but {first} is not finished")
