"""What runs inside Celery workers."""
