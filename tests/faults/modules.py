"""Every module with cells, imported so that they register: in the order in which `--list` names them."""

from __future__ import annotations

from tests.faults import (
    cells,
    dead_letter_cells,
    deadline_cells,
    failure_cells,
    kafka_cells,
    memory_cells,
    outage_cells,
    queue_cells,
    rebalance_cells,
    rows_bridge,
    rows_controls,
    rows_kafka,
    rows_redis,
    rows_tasks,
    rows_workers,
    rule_cells,
    zombie_cells,
)

MODULES = (
    cells,
    memory_cells,
    zombie_cells,
    rebalance_cells,
    kafka_cells,
    queue_cells,
    rule_cells,
    failure_cells,
    dead_letter_cells,
    outage_cells,
    deadline_cells,
    rows_bridge,
    rows_controls,
    rows_workers,
    rows_redis,
    rows_kafka,
)
