"""What tasks write down of their runs; tests read it with World.journal."""

import os
from typing import Any

from tests.faults import history


def write(**entry: Any) -> None:
    """Append an entry."""
    history.write(os.environ["TEST_JOURNAL"], entry)
