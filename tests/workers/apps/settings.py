"""What the example apps of these tests are started with: addresses come in the environment."""

import os

from bridge.workers.installed import WorkerSettings
from bridge.workers.rules import TopicRules

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://localhost:6379/0")
GROUP = os.environ.get("TEST_GROUP", "tests")


def worker_settings() -> WorkerSettings:
    """The settings that `Bridge` would give."""
    return WorkerSettings(
        group_id=GROUP,
        ledger_url=REDIS_URL,
        rules_of=lambda topic: TopicRules(),
        lane_queues=int(os.environ.get("TEST_LANE_QUEUES", "4")),
        link_timeout=60.0,
        worker_timeout=float(os.environ.get("TEST_WORKER_TIMEOUT", "15")),
        heartbeat_interval=float(os.environ.get("TEST_HEARTBEAT_INTERVAL", "0.3")),
    )
