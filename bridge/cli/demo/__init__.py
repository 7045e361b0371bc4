"""`lanebridge demo`: the whole path on an embedded Kafka and Redis, judged by what can be seen from outside.

Rules: every figure comes from what the tasks printed or from offsets that a client of its own asked of the broker.
Whatever was started is stopped, however the demo ends.
"""

from bridge.cli.demo.command import demo

__all__ = ["demo"]
