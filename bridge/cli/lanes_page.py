"""What `lanes` shows: the sum, what operators want, what bridges cannot reach, the table; once, or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.cli.errors import Failed
from bridge.cli.lanes_table import STYLES, lane_table, sum_line
from bridge.cli.logs import one_line
from bridge.core.words import span
from bridge.errors import LanebridgeError
from bridge.instructions import Instructions, Request
from bridge.ops.state import State

#: columns of what is written to a file or a pipe
_PLAIN_WIDTH = 200

#: how many pauses, and how many requests, get a line
_LINES = 10

#: what there is to show
Picture = tuple[State, Instructions]


def plain_console() -> Console:
    """Standard output, in which nothing means markup."""
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False, markup=False)


def page(picture: Picture, group: str, width: int) -> Iterator[RenderableType]:
    """All of it, from above; `width` in characters."""
    state, wanted = picture
    if state.bridges:
        yield sum_line(state, group)
    else:
        yield (
            f"No bridge of group {group} is running: none has published its state in the last seconds. "
            "Start one with: lanebridge run"
        )
    yield from (
        Text(text, style=STYLES["paused"]) for text in _bounded([str(each) for each in wanted.pauses], "pauses")
    )
    yield from _bounded([_asked(each) for each in wanted.requests], "requests")
    for bridge in state.bridges:
        if bridge.trouble:
            yield Text(f"Bridge {bridge.id}: {one_line(bridge.trouble)}", style="red")
    if state.lanes:
        yield lane_table(state, width)


def _asked(request: Request) -> str:
    since = datetime.fromtimestamp(request.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    what = f"{request.action} of record {request.offset} in {request.target}"
    return f"{what} is asked for by {request.who} since {since}, and not answered yet"


def _bounded(texts: Sequence[str], what: str) -> list[str]:
    left = len(texts) - _LINES
    return [*map(one_line, texts[:_LINES]), *([f"... and {left} more {what}"] if left > 0 else [])]


def print_lanes(picture: Picture, group: str) -> None:
    """Write it to standard output."""
    console = plain_console()
    for part in page(picture, group, console.width):
        console.print(part)


def watch_lanes(read: Callable[[], Picture], group: str, interval: float) -> None:
    """Draw it anew in its place, or where there is no terminal write it again, every `interval` seconds until Ctrl-C.

    Raises what `read` raises the first time; later that is shown, and tried again.
    """
    console = plain_console()
    read()
    if not console.is_terminal:
        every(interval, lambda: console.print(*_parts(read, group, console.width), "", sep="\n"))
        return
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            head = Text(f"{time.strftime('%H:%M:%S')}, every {span(interval)}; Ctrl-C ends it", style="dim")
            live.update(Group(head, *_parts(read, group, console.width)), refresh=True)

        every(interval, draw)


def every(interval: float, show: Callable[[], None]) -> None:
    """Show it every `interval` seconds, until Ctrl-C."""
    try:
        while True:
            show()
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def _parts(read: Callable[[], Picture], group: str, width: int) -> list[RenderableType]:
    try:
        return list(page(read(), group, width))
    except Failed as error:
        return [Text(error.format_message(), style="red")]
    except LanebridgeError as error:
        return [Text(one_line(str(error)), style="red")]
