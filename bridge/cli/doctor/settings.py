"""Every option with its value and origin; variables that mean nothing."""

from __future__ import annotations

from bridge.cli.doctor.findings import Finding, note, warning
from bridge.settings import Resolved


def look_at_settings(resolved: Resolved) -> list[Finding]:
    """One line per option, secrets hidden, and one for each odd variable."""
    rows = resolved.rows()
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    found = [note(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}") for name, value, origin in rows]
    found += [warning(text, "correct its name, or unset it") for text in resolved.warnings]
    return found
