"""An app whose settings break what lanes promise."""

from celery import Celery

from bridge.records import Batch
from bridge.workers.install import install
from bridge.workers.tasks import BatchTask
from tests.workers.apps.settings import REDIS_URL, worker_settings

app = Celery("refused", broker=REDIS_URL)
app.conf.task_always_eager = True
install(app, worker_settings)


@app.task(base=BatchTask, reject_on_worker_lost=True)
def store(batch: Batch) -> None:
    """Never run."""
