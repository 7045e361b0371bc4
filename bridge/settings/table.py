"""The options as Markdown tables, for docs/options.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.settings.bridge_options import OPTIONS
from bridge.settings.environment import PREFIX
from bridge.settings.option import Option
from bridge.settings.pipeline_options import CHAIN, PIPELINE_OPTIONS, TOPICS
from bridge.settings.raw_kafka import OWNED_KAFKA_OPTIONS

_READERS = {"bridge": "bridge", "workers": "workers", "both": "bridge and workers: one value"}


def options_table() -> str:
    """What `Bridge` takes."""
    head = ("Option", "Variable", "Value", "Default", "Read by", "What it does")
    rows = ((o.name, _variable(o), o.wanted, _default(o), _READERS[o.readers], o.text) for o in OPTIONS)
    return _table(head, rows, code=(0, 1))


def pipeline_options_table() -> str:
    """What `bridge.pipeline` takes."""
    head = ("Option", "Value", "Default", "What it does")
    rows = ((o.name, o.wanted, _default(o), o.text) for o in (TOPICS, CHAIN, *PIPELINE_OPTIONS))
    return _table(head, rows, code=(0,))


def owned_kafka_table() -> str:
    """Which librdkafka options are refused."""
    return _table(("librdkafka option", "Instead, or why"), OWNED_KAFKA_OPTIONS.items(), code=(0,))


def _variable(option: Option) -> str:
    return f"{PREFIX}{option.name.upper()}" + ("_<NAME>" if option.name == "kafka" else "")


def _default(option: Option) -> str:
    return "required" if option.is_required else option.default_shown


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], code: Sequence[int]) -> str:
    lines = [head, ["---"] * len(head)]
    lines += [[f"`{cell}`" if n in code else cell for n, cell in enumerate(row)] for row in rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
