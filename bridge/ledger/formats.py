"""The format number in payload, handle and hash: another one is refused, never guessed at."""

from __future__ import annotations

from bridge.entries import FORMAT
from bridge.errors import LanebridgeError


class LedgerError(LanebridgeError):
    """What the ledger holds cannot be used."""


class UnknownFormat(LedgerError):
    """Something of the ledger was written in a format that this version of lanebridge does not read."""


def check_format(what: str, found: object) -> None:
    """Raises UnknownFormat unless `found` is the format number of this version; `what` names the carrier."""
    if found != FORMAT:
        raise UnknownFormat(
            f"{what} has format {found!r}, this version of lanebridge reads and writes format {FORMAT}. "
            f"Remedy: run the same version of lanebridge in every bridge and worker of the group; while an update is "
            f"under way, start the workers first."
        )
