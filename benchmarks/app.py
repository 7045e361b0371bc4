"""The app that is measured: a task that does nothing, so that all cost is the framework's."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge

app = Celery("measured", broker=os.environ["CELERY_BROKER_URL"])
bridge = Bridge(app, group_id="measured")


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Nothing."""


bridge.pipeline("measured", chain=store.s(), batch_size=int(os.environ.get("MEASURED_BATCH", "100")))
