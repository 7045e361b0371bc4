"""A Django project as Celery's documentation lays it out."""

from .celery import app as celery_app

__all__ = ("celery_app",)
