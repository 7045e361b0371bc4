"""Writes what is generated in this directory: `./run docs`. With --check it only says what is stale.

A page keeps what people wrote; what stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->` is replaced. A
picture, and the dashboard, are made anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import dashboard
import soak
import waiting

from bridge.ops.catalogue import metrics_table, words_table
from bridge.settings import options_table, owned_kafka_table, pipeline_options_table

HERE = Path(__file__).parent

#: the parts of each page
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "options.md": {
        "options of a bridge": options_table,
        "options of a pipeline": pipeline_options_table,
        "librdkafka options that are refused": owned_kafka_table,
    },
    "metrics.md": {"metrics": metrics_table, "words of labels": words_table},
}

PICTURES: Mapping[str, Callable[[], str]] = {
    "waiting.svg": waiting.draw,
    "soak.svg": soak.draw,
    "grafana.json": dashboard.write,
}


def generated(name: str) -> str:
    """The page with its generated parts renewed, or the picture. Raises ValueError when a page lacks the markers of a
    part."""
    return PICTURES[name]() if name in PICTURES else _page(name)


def _page(page: str) -> str:
    text = (HERE / page).read_text(encoding="utf-8")
    for name, make in PAGES[page].items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        if (text.count(begin), text.count(end)) != (1, 1):
            raise ValueError(f"docs/{page} must have {begin} and {end} once each")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n\n{make()}\n{end}{after}"
    return text


def _now(name: str) -> str:
    path = HERE / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Write the pages that are stale; with --check, exit 1 when there are any."""
    stale = [name for name in (*PAGES, *PICTURES) if _now(name) != generated(name)]
    for name in stale:
        print(f"docs/{name} {'is stale: ./run docs' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            (HERE / name).write_text(generated(name), encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
