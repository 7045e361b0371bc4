"""What a check has found. A problem makes `doctor` end with 1; a warning is a risk, a note is worth knowing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line; `remedy` says what to do."""

    level: Level
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def note(text: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding("note", text, remedy)


def warning(text: str, remedy: str) -> Finding:
    """A risk."""
    return Finding("warning", text, remedy)


def problem(text: str, remedy: str) -> Finding:
    """It does not work, or a promise is broken."""
    return Finding("problem", text, remedy)


def few(names: list[str], limit: int = 6) -> str:
    """The first names, and how many more there are."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
