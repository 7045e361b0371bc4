"""Writes the generated parts of the pages in this directory: `./run docs`. With --check it only says what is stale.

A page keeps what people wrote; what stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->` is replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.settings import options_table, owned_kafka_table, pipeline_options_table

HERE = Path(__file__).parent

#: the parts of each page
PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "options.md": {
        "options of a bridge": options_table,
        "options of a pipeline": pipeline_options_table,
        "librdkafka options that are refused": owned_kafka_table,
    },
}


def generated(page: str) -> str:
    """The page with its generated parts renewed. Raises ValueError when it lacks the markers of a part."""
    text = (HERE / page).read_text(encoding="utf-8")
    for name, make in PAGES[page].items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        if (text.count(begin), text.count(end)) != (1, 1):
            raise ValueError(f"docs/{page} must have {begin} and {end} once each")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n\n{make()}\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    """Write the pages that are stale; with --check, exit 1 when there are any."""
    stale = [page for page in PAGES if (HERE / page).read_text(encoding="utf-8") != generated(page)]
    for page in stale:
        print(f"docs/{page} {'is stale: ./run docs' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            (HERE / page).write_text(generated(page), encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
