"""The Celery app and the bridge that the environment describes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from celery import Celery

from benchmarks.seen import Seen
from bridge import Bridge

#: the topic, the options of its pipeline as JSON, and the folder for what the tasks note
TOPIC, OPTIONS, NOTES = "MEASURED_TOPIC", "MEASURED_OPTIONS", "MEASURED_NOTES"

#: among the notes: what was wrong
WRONG = "wrong"


def environment(topic: str, notes: Path, **options: Any) -> dict[str, str]:
    """What the processes of an app must find in their environment."""
    return {TOPIC: topic, NOTES: str(notes), OPTIONS: json.dumps(options)}


def declare() -> tuple[Celery, Bridge]:
    """An app without tasks, and its bridge without a pipeline."""
    app = Celery("measured", broker=os.environ["CELERY_BROKER_URL"])
    return app, Bridge(app, group_id="measured")


def pipeline(bridge: Bridge, chain: Any) -> None:
    """The pipeline that the environment describes, with this chain."""
    options: Mapping[str, Any] = json.loads(os.environ[OPTIONS])
    bridge.pipeline(os.environ[TOPIC], chain=chain, **options)


def notes_folder() -> Path:
    """Where the tasks may write."""
    return Path(os.environ[NOTES])


def seen() -> Seen:
    """What the tasks of all processes have seen."""
    return Seen(Path(os.environ["MEASURED_SEEN"]))


def wrong(text: str) -> NoReturn:
    """A task got what was not next: the run fails, whatever becomes of the exception."""
    (notes_folder() / WRONG).write_text(text)
    raise RuntimeError(text)
