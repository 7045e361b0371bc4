"""The example app: Celery functions only."""
