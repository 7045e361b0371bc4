"""Lanebridge carries Kafka partitions into Celery in order."""
