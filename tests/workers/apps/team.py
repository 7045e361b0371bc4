"""A team's app that had its own settings before it had a bridge; they are given after `install`."""

import os

from celery import Celery
from kombu.entity import Exchange, Queue

from bridge.records import Batch, Record
from bridge.workers.install import install
from bridge.workers.tasks import BatchTask, RecordTask
from tests.workers.apps import journal
from tests.workers.apps.settings import REDIS_URL, worker_settings

app = Celery("team")
install(app, worker_settings)
app.config_from_object(
    {
        "broker_url": REDIS_URL,
        "result_backend": f"db+sqlite:///{os.environ['TEST_DATABASE']}",
        "result_extended": True,
        "task_default_queue": "team",
        "task_queues": [
            Queue("team", Exchange("team"), routing_key="team"),  # type: ignore[no-untyped-call]
            Queue("media", Exchange("media"), routing_key="media.video"),  # type: ignore[no-untyped-call]
        ],
        "task_routes": {
            "tests.workers.apps.team.video": {"queue": "media"},
            "tests.workers.apps.team.*": {"exchange": "media", "routing_key": "media.video"},
        },
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "broker_transport_options": {
            "visibility_timeout": 2,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "priority_steps": [0, 5],
        },
    }
)


@app.task(shared=False)
def add(a: int, b: int) -> int:
    """An ordinary task, in the default queue when it is sent there."""
    return a + b


@app.task(shared=False)
def video(name: str) -> str:
    """An ordinary task with a route."""
    return f"{name}.mp4"


@app.task(shared=False)
def remember(text: str) -> None:
    """Runs until the test lets it go; its message comes back when its worker is killed."""
    journal.write(task="remember", text=text)
    journal.wait_for_gate(text, 60.0)
    journal.write(task="remember", done=text)


@app.task(shared=False, base=RecordTask)
def parse(record: Record) -> int:
    """A link."""
    journal.write(task="parse", offset=record.offset)
    return int(record.value or b"")


@app.task(shared=False, base=BatchTask)
def store(batch: Batch) -> None:
    """A link."""
    journal.write(task="store", data=[record.data for record in batch])


@app.task(shared=False, base=BatchTask)
def gated(batch: Batch, gate: str) -> None:
    """A link that waits."""
    journal.write(task="gated", event="begun")
    journal.wait_for_gate(gate, 60.0)
