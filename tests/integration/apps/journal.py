"""What tasks write down of their runs; tests read it with World.journal."""

import hashlib
import os
from typing import Any

from tests.faults import history


def write(**entry: Any) -> None:
    """Append an entry."""
    history.write(os.environ["TEST_JOURNAL"], entry)


def digest(data: bytes | None) -> str | None:
    """Short, and the same only for the same bytes."""
    return None if data is None else f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()}"
