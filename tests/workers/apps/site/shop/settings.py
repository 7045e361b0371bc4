"""Django's settings."""

import os

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["orders"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
CELERY_BROKER_URL = os.environ["TEST_REDIS_URL"]
CELERY_RESULT_BACKEND = os.environ["TEST_REDIS_URL"]
CELERY_TASK_DEFAULT_QUEUE = os.environ["TEST_GROUP"]
