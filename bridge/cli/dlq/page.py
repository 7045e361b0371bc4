"""Dead letters for the Lanes tab: the same as `dlq list`, `dlq show` and `dlq replay`, as values."""

from __future__ import annotations

import shlex
import threading

from bridge.app import Bridge
from bridge.cli.dlq import listing, showing
from bridge.cli.dlq.letters import Filters, FoundLetter
from bridge.cli.dlq.lookup import at_place
from bridge.cli.dlq.reading import all_letters, earlier_replays
from bridge.cli.dlq.replay import replay_chosen
from bridge.cli.dlq.replaying import Wish
from bridge.cli.dlq.topics import cluster_of
from bridge.cli.errors import Failed
from bridge.errors import LanebridgeError
from bridge.ops.lanes_tab.letters import Letter, LetterKind, Replayed, ReplayWish
from bridge.records import HEADERS, KEY, VALUE


class LettersUnreadable(LanebridgeError):
    """The dead letters cannot be read."""


class PipelineLetters:
    """Those of the pipelines of an app; `app_name` is what -A names."""

    def __init__(self, bridge: Bridge, app_name: str) -> None:
        self._bridge = bridge
        self._app_name = app_name
        self._ended = threading.Event()

    def end(self) -> None:
        """A replay under way ends after its chunk; what it has written is remembered."""
        self._ended.set()

    def kinds(self) -> list[LetterKind]:
        """All, by cause, the most frequent first."""
        try:
            with cluster_of(self._bridge) as found:
                tallies = listing.count(all_letters(found), earlier_replays(found))
        except Failed as error:
            raise LettersUnreadable(error.message) from None
        kinds = [self._kind(kind, tally) for kind, tally in tallies.items()]
        return sorted(kinds, key=lambda kind: -kind.count)

    def show(self, topic: str, partition: int, offset: int, *, with_values: bool) -> Letter:
        """One of a topic of the pipelines' own: no other topic can be read this way."""
        try:
            with cluster_of(self._bridge) as found:
                if topic not in found.partitions:
                    raise LettersUnreadable(f"{topic} is no dead letter topic of this app")
                return _shown(at_place(found, topic, partition, offset)[0], with_values)
        except Failed as error:
            raise LettersUnreadable(error.message) from None

    def replay(self, wish: ReplayWish) -> Replayed:
        """Replay the dead letters of one cause, or count what that would do."""
        said: list[str] = []
        sources, dispositions, exceptions = (
            (text,) if text else () for text in (wish.source, wish.disposition, wish.exception)
        )
        filters = Filters(sources, dispositions, exceptions)
        try:
            with cluster_of(self._bridge) as found:
                if not wish.source or wish.topic not in found.partitions:
                    raise LettersUnreadable(f"{wish.topic} holds no dead letters of this app that could go back")
                chosen = {wish.topic: found.partitions[wish.topic]}
                report = replay_chosen(
                    found, chosen, Wish(filters, dry_run=wish.dry_run), self._ended.is_set, said.append
                )
        except LanebridgeError as error:
            return Replayed(tuple(said), str(error))
        except Failed as error:
            return Replayed(tuple(said), error.message)
        return Replayed(tuple(said), "ended early: Flower stops; replay again to go on" if report.was_stopped else "")

    def _kind(self, kind: listing.Kind, tally: listing.Tally) -> LetterKind:
        return LetterKind(
            *kind,
            count=tally.count,
            replayed=tally.replayed,
            stubs=tally.stubs,
            oldest_ms=tally.oldest_ms,
            newest_ms=tally.newest_ms,
            newest_partition=tally.last[0],
            newest_offset=tally.last[1],
            command=replay_command(self._app_name, kind),
        )


def replay_command(app_name: str, kind: listing.Kind) -> str:
    """What replays the dead letters of this kind, to be pasted into a shell."""
    topic, source, disposition, exception = kind
    words = ["lanebridge", "-A", app_name, "dlq", "replay", "--topic", topic]
    for option, value in (("--source-topic", source), ("--disposition", disposition), ("--exception", exception)):
        words += (option, value) if value else ()
    return f"{shlex.join(words)} --dry-run"


def _shown(letter: FoundLetter, with_values: bool) -> Letter:
    title, *rest = showing.describe_place(letter)
    return Letter(
        title=title,
        source=" ".join(rest),
        headers=tuple((name, showing.readable(name, value)) for name, value in letter.row[HEADERS]),
        key="\n".join(showing.preview("Key", letter.row[KEY])) if with_values else None,
        value="\n".join(showing.preview("Value", letter.row[VALUE])) if with_values else None,
    )
