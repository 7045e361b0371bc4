"""An app that has no bridge."""

from celery import Celery

from tests.workers.apps.settings import REDIS_URL

app = Celery("bare", broker=REDIS_URL)
