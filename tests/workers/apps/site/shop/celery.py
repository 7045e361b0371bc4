"""The project's Celery app: configured by Django's settings, tasks found in the installed apps."""

import os

from celery import Celery

from bridge.workers.install import install
from tests.workers.apps.settings import worker_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
install(app, worker_settings)
