"""The example app: Celery functions only."""

from tasks.celery import app

__all__ = ["app"]
