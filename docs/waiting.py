"""Draws docs/waiting.svg: what waits, and what does not, while a record of a lane fails."""

from __future__ import annotations

from collections.abc import Iterator

from drawing import style, text

WIDTH, HEIGHT = 880, 486

#: where the pictures of time begin, and how many pixels a second has
LEFT, SECOND = 124, 74

#: width and height of one record
CELL, TALL = 26, 30

LIGHT = """
  .in { text-anchor: middle; font-size: 11px; }
  .done { fill: #b4e6c0; stroke: #1a7f37; }
  .bad { fill: #ffc9c5; stroke: #cf222e; }
  .held { fill: #eef1f4; stroke: #818b98; }
  .wait { fill: url(#stripes); stroke: #818b98; stroke-dasharray: 3 3; }
  .stripe { stroke: #c3cad2; }
  .line { stroke: #818b98; fill: none; }
  .arrow { stroke: #cf222e; fill: none; stroke-width: 1.6; }
  .head { fill: #cf222e; }"""
DARK = """
    .done { fill: #12401f; stroke: #3fb950; }
    .bad { fill: #67161a; stroke: #ff7b72; }
    .held { fill: #21262d; stroke: #858e99; }
    .wait { stroke: #858e99; }
    .stripe { stroke: #444c56; }
    .line { stroke: #858e99; }
    .arrow { stroke: #ff7b72; }
    .head { fill: #ff7b72; }"""

#: second at which an attempt begins, its first record, and what became of each: done, bad, held (not reached)
FAILING = (
    (0.0, 100, ("done", "done", "bad", "held", "held")),
    (2.75, 102, ("bad", "held", "held")),
    (5.8, 102, ("bad", "held", "held")),
    (7.9, 103, ("done", "done")),
    (8.75, 105, ("done", "done", "done")),
)

#: the pauses of the failing lane: from, to, what is waited for
PAUSES = ((1.85, 2.65, "1 s"), (3.9, 5.7, "2 s"), (6.95, 7.8, "dead letter"))

#: the other lane's batches
OTHER = tuple((at, 500 + 3 * index, ("done",) * 3) for index, at in enumerate((0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 8.75)))

#: what is committed of the failing lane: from which second on, and up to where
COMMITTED = ((0.0, 100), (1.85, 102), (7.8, 103), (8.62, 105), (9.85, 108))


def draw() -> str:
    """The picture, as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">',
        '<title id="t">What waits while record 102 fails</title>',
        '<desc id="d">Records 100 and 101 are finished at once. Record 102 is tried three times; 103 and everything '
        "behind it wait. The committed offset stays at 102 until the dead letter of 102 is acknowledged. The other "
        "lane goes on.</desc>",
        style(LIGHT, DARK),
        '<defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line class="stripe" x1="0" y1="0" x2="0" y2="6" stroke-width="2"/></pattern>'
        "</defs>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        *_failing_lane(56),
        *_dead_letter(56, 176),
        *_committed(262),
        *_other_lane(352),
        *_legend(446),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _x(second: float) -> float:
    return round(LEFT + second * SECOND, 1)


def _cells(x: float, y: float, first: int, states: tuple[str, ...]) -> Iterator[str]:
    for index, state in enumerate(states):
        left = x + index * CELL
        yield f'<rect class="{state}" x="{left}" y="{y}" width="{CELL}" height="{TALL}" rx="2"/>'
        yield text(left + CELL / 2, y + 19, str(first + index), "in")


def _failing_lane(y: int) -> Iterator[str]:
    yield text(16, y - 28, "One lane, with Retry(max_attempts=3): record 102 fails every time", "name")
    yield text(16, y + 19, "orders[0]", "name")
    for number, (at, first, states) in enumerate(FAILING):
        yield from _cells(_x(at), y, first, states)
        if number < 3:
            yield text(_x(at), y - 7, f"attempt {number + 1}", "small soft")
    yield text(_x(7.9), y - 7, "the rest, then what waited", "small soft")
    for begin, end, label in PAUSES:
        x, width = _x(begin), (end - begin) * SECOND
        yield f'<rect class="wait" x="{x}" y="{y}" width="{width:.1f}" height="{TALL}" rx="2"/>'
        yield text(x + width / 2, y + TALL + 15, label, "in soft")
    yield text(_x(0), y + 62, "105, 106, 107 ... have been read and wait behind the batch", "small soft")
    yield f'<path class="line" d="M {_x(4.9)} {y + 58} H {_x(8.7)} V {y + TALL + 6}" stroke-dasharray="3 3"/>'


def _dead_letter(top: int, y: int) -> Iterator[str]:
    x = _x(5.8) + CELL / 2
    yield f'<path class="arrow" d="M {x} {top + TALL + 2} V {y - 8}"/>'
    yield f'<path class="head" d="M {x - 5} {y - 9} L {x + 5} {y - 9} L {x} {y - 1} Z"/>'
    yield text(16, y + 19, "orders.dlq[0]", "name")
    yield from _cells(x - CELL / 2, y, 102, ("bad",))
    yield text(x + CELL, y + 13, "102, and why it failed; until the broker", "small soft")
    yield text(x + CELL, y + 28, "has acknowledged it, the lane waits", "small soft")


def _committed(y: int) -> Iterator[str]:
    yield text(16, y + 5, "committed", "name")
    yield text(16, y + 21, "of orders[0]", "small soft")
    heights = {offset: y + 22 - 12 * step for step, (_, offset) in enumerate(COMMITTED)}
    path = f"M {_x(0)} {heights[100]}"
    for (_, offset), (end, _) in zip(COMMITTED, [*COMMITTED[1:], (10.05, 0)], strict=True):
        path += f" V {heights[offset]} H {_x(end)}"
    yield f'<path class="line" stroke-width="1.6" d="{path}"/>'
    for at, offset in COMMITTED[:4]:
        yield text(_x(at) + 4, heights[offset] - 4, str(offset), "small")
    yield text(_x(9.85) - 14, heights[108] - 5, "108", "small")
    yield text(_x(2.4) + 12, heights[102] - 4, "not past 102 before its dead letter is acknowledged", "small soft")


def _other_lane(y: int) -> Iterator[str]:
    yield text(16, y - 26, "Every other lane goes on meanwhile", "name")
    yield text(16, y + 19, "orders[1]", "name")
    for at, first, states in OTHER:
        yield from _cells(_x(at), y, first, states)
    yield f'<path class="line" d="M {_x(0)} {y + 54} H {_x(10.05)}"/>'
    yield f'<path class="line" d="M {_x(10.05) - 6} {y + 50} L {_x(10.05)} {y + 54} L {_x(10.05) - 6} {y + 58}"/>'
    yield text(16, y + 58, "time", "small soft")


def _legend(y: int) -> Iterator[str]:
    x = float(_x(0))
    for kind, label, width in (
        ("done", "succeeded", 118),
        ("bad", "failed", 92),
        ("held", "not reached, waits", 160),
        ("wait", "nothing of the lane runs", 0),
    ):
        yield f'<rect class="{kind}" x="{x}" y="{y}" width="18" height="18" rx="2"/>'
        yield text(x + 25, y + 14, label, "small")
        x += width + 20
