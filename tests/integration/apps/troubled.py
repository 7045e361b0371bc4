"""Tasks that do not get on, each in a pipeline whose topic ends with the way. TEST_ROLE=other: a release that lacks a
task."""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Retry
from tests.integration.apps import journal

app = Celery("troubled", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="troubled")

TOPIC = os.environ.get("TEST_TOPIC", "troubled")
SLOW = Retry(max_attempts=5, delay=600.0, jitter=0.0)
ONCE = Retry(max_attempts=1)


@app.task(base=BatchTask)
def fail(batch: Batch) -> None:
    """Always."""
    raise ValueError("no such account")


@app.task(base=BatchTask)
def wait(batch: Batch) -> None:
    """Until the test lets it go."""
    journal.write(began=batch.topic, partition=batch.partition)
    while not Path(os.environ["TEST_GATE"]).exists():
        time.sleep(0.05)


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """All is well."""


if os.environ.get("TEST_ROLE") != "other":

    @app.task(base=BatchTask)
    def newer(batch: Batch) -> None:
        """A task of this release alone."""


def declare(way: str, task: Any, **options: Any) -> None:
    """A pipeline whose only link goes to a queue of that name."""
    given: dict[str, Any] = {"batch_timeout": 0.05, "retry": SLOW, **options}
    bridge.pipeline(f"{TOPIC}-{way}", chain=task.s().set(queue=way), **given)


if "TEST_OUTAGE" in os.environ:
    declare("outage", fail, retry=Retry(max_attempts=3, delay=1.0, jitter=0.0))
else:
    declare("nobody", store)
    declare("unknown", globals().get("newer", store))
    declare("dead", wait)
    declare("stuck", wait, link_timeout=2.0)
    declare("fails", fail)
    declare("letters", fail, retry=ONCE, dead_letter_topic=f"{TOPIC}-nowhere")
    declare("calm", store)
    declare("busy", wait)
