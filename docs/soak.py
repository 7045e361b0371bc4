"""Draws docs/soak.svg: what a bridge and Redis held during a long run with random faults, from docs/soak.json.

The numbers come from `FAULTS_SOAK_SERIES=docs/soak.json ./run faults --cell soak`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from drawing import style, text

DATA = Path(__file__).parent / "soak.json"

WIDTH, HEIGHT = 880, 560

#: the room of a curve: left and right edge, height, and the distance from one curve to the next
LEFT, RIGHT, TALL, STEP = 90, 860, 110, 160

LIGHT = """
  .right { text-anchor: end; }
  .middle { text-anchor: middle; }
  .frame { stroke: #818b98; fill: none; }
  .curve { stroke: #0969da; fill: none; stroke-width: 1.6; }
  .fault { stroke: #cf222e; stroke-opacity: 0.35; }"""
DARK = """
    .frame { stroke: #858e99; }
    .curve { stroke: #4493f8; }
    .fault { stroke: #ff7b72; stroke-opacity: 0.45; }"""

#: what each curve is called, which column of a sample it shows, and how many of these are one of its unit
CURVES = (
    ("Resident memory of the bridge that ran all the time, MiB", 1, 2**20),
    ("Its file descriptors", 2, 1),
    ("Keys in Redis (ledger, queues, stored errors)", 3, 1),
)


def draw() -> str:
    """The picture, as SVG."""
    about = json.loads(DATA.read_text(encoding="utf-8"))
    samples, faults, seconds = about["samples"], about["faults"], about["minutes"] * 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">',
        f'<title id="t">{about["minutes"]:g} minutes with {len(faults)} random faults</title>',
        '<desc id="d">Memory, file descriptors and Redis keys over time, with the faults.</desc>',
        style(LIGHT, DARK),
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        text(16, 28, f"{about['minutes']:g} minutes, {len(faults)} faults (each a red line)", "name"),
    ]
    for number, (name, column, unit) in enumerate(CURVES):
        values = [(sample[0], sample[column] / unit) for sample in samples]
        parts += _curve(70 + number * STEP, name, values, [at for at, _ in faults], seconds)
    return "\n".join([*parts, "</svg>", ""])


def _curve(
    top: int, name: str, values: Sequence[tuple[float, float]], faults: Sequence[float], seconds: float
) -> Iterator[str]:
    most = max(value for _, value in values) * 1.1
    yield text(LEFT, top - 8, name, "small")
    for at in faults:
        x = _x(at, seconds)
        yield f'<line class="fault" x1="{x}" y1="{top}" x2="{x}" y2="{top + TALL}"/>'
    yield f'<rect class="frame" x="{LEFT}" y="{top}" width="{RIGHT - LEFT}" height="{TALL}"/>'
    points = " ".join(f"{_x(at, seconds)},{top + TALL - value / most * TALL:.1f}" for at, value in values)
    yield f'<polyline class="curve" points="{points}"/>'
    for share in (0.0, 0.5, 1.0):
        yield text(LEFT - 8, top + TALL * (1 - share) + 4, f"{most * share:,.0f}", "small soft right")
    for minute in range(0, int(seconds // 60) + 1, 3):
        yield text(_x(minute * 60, seconds), top + TALL + 16, f"{minute} min", "small soft middle")


def _x(at: float, seconds: float) -> float:
    return round(LEFT + min(at / seconds, 1.0) * (RIGHT - LEFT), 1)
