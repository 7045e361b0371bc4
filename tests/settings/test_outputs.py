"""What is made from the tables: flags, and the tables in docs/options.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bridge.settings import (
    OPTIONS,
    PIPELINE_OPTIONS,
    Flag,
    PipelineOptions,
    cli_options,
    options_table,
    pipeline_options_table,
)

ROOT = Path(__file__).parents[2]


def test_the_options_page_is_up_to_date() -> None:
    check = [sys.executable, "docs/generate.py", "--check"]
    answer = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stdout + answer.stderr


def test_every_option_has_a_row_with_its_variable_and_default() -> None:
    rows = options_table().splitlines()
    assert rows[0] == "| Option | Variable | Value | Default | Read by | What it does |"
    assert len(rows) == len(OPTIONS) + 2
    assert (
        "| `lane_queues` | `BRIDGE_LANE_QUEUES` | an integer from 1 to 4096 (queues) | 16 | "
        "bridge and workers: one value | How many Celery queues the lanes share: lane-0, lane-1 and so on. |"
    ) in rows


def test_every_pipeline_option_has_a_row() -> None:
    rows = pipeline_options_table().splitlines()
    assert len(rows) == len(PIPELINE_OPTIONS) + 4
    assert "| `batch_size` | an integer from 1 to 100000 (records) | 100 | A batch closes with this many. |" in rows
    assert list(PipelineOptions.__annotations__) == [option.name for option in PIPELINE_OPTIONS]


def test_the_tables_can_be_printed() -> None:
    command = [sys.executable, "-m", "bridge.settings"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == f"{options_table()}\n{pipeline_options_table()}\n"


def test_every_option_that_a_bridge_reads_is_a_flag() -> None:
    flags = {flag.option: flag for flag in cli_options()}
    assert set(flags) == {option.name for option in OPTIONS} - {"worker_heartbeat"}
    assert flags["lane_queues"] == Flag(
        option="lane_queues",
        declaration="--lane-queues",
        metavar="QUEUES",
        help="How many Celery queues the lanes share: lane-0, lane-1 and so on. The workers need the same value.  "
        "[default: 16]",
    )
    assert flags["wait_for_topics"].declaration == "--wait-for-topics/--no-wait-for-topics"
    assert flags["wait_for_topics"].is_switch
    assert (flags["kafka"].metavar, flags["kafka"].repeated) == ("NAME=VALUE", True)
    assert flags["group_id"].help.endswith("[required]")
