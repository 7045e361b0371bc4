"""`./run simulate` from outside: exit 0 when nothing is violated, 1 with the violation and a line that replays it."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tests.simulation import __main__ as command
from tests.simulation.history import History
from tests.simulation.mixes import MIXES
from tests.simulation.mutations import MUTATIONS
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
MODULE = [sys.executable, "-m", "tests.simulation"]


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MODULE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def in_process() -> Iterator[CliRunner]:
    """The command in this process, for what only a patch can show."""
    before = signal.getsignal(signal.SIGTERM)
    yield CliRunner()
    signal.signal(signal.SIGTERM, before)


def test_when_nothing_is_violated_it_ends_with_0_and_says_how_much_that_was() -> None:
    done = simulate("--seeds", str(len(MIXES)), "--jobs", "2")
    assert done.returncode == 0, done.stdout
    assert re.search(rf"^{len(MIXES)} seeds, [\d,]+ steps, 0 red, [\d.]+ s$", done.stdout, re.MULTILINE)
    assert re.search(r"^tables: \d+ of \d+ arrows of a lane, \d+ of \d+ events", done.stdout, re.MULTILINE)
    assert all(re.search(rf"^  {mix} +1 seeds ", done.stdout, re.MULTILINE) for mix in MIXES)


def test_the_list_is_one_mutation_a_line_and_nothing_else() -> None:
    done = simulate("--list")
    assert done.returncode == 0
    assert done.stdout == "".join(f"mutation {name}\n" for name in MUTATIONS)
    assert done.stderr == ""


def test_a_mutation_is_found_and_its_replay_line_finds_it_again() -> None:
    done = simulate("--mutation", "two-claims-of-one-link")
    assert done.returncode == 1
    found = re.search(r"^VIOLATED noise \d+: (.*)\nreplay: (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    words = shlex.split(found[2])
    assert words[:2] == ["./run", "simulate"]
    assert "--mutation" in words
    again = simulate(*words[2:])
    assert again.returncode == 1
    assert found[1] in again.stdout
    assert f"replay: {found[2]}" in again.stdout
    index = words.index("--mutation")
    sound = simulate(*words[2:index], *words[index + 2 :])
    assert sound.returncode == 0, sound.stdout
    assert "every promise is kept" in sound.stdout


def test_a_trace_is_of_one_history() -> None:
    done = simulate("--mix", "calm", "--seed", "1", "--trace")
    assert done.returncode == 0
    assert "Assigned(" in done.stdout
    assert simulate("--trace").returncode == 2
    assert simulate("--mix", "calm", "--trace", "--seeds", "3").returncode == 2


def test_hours_and_seeds_exclude_each_other() -> None:
    assert simulate("--hours", "1", "--seeds", "3").returncode == 2


def test_hours_may_be_fractions() -> None:
    done = simulate("--hours", "0.0002", "--mix", "calm", "--jobs", "2")
    assert done.returncode == 0
    assert re.search(r"^[\d,]+ seeds, ", done.stdout, re.MULTILINE)


def test_hours_go_on_with_new_seeds_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(100.0, 25.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    histories = command.for_so_long((History("calm", seed) for seed in count()), 90.0)
    assert [history.seed for history in histories] == [0, 1, 2, 3]


def test_a_kind_of_fault_can_be_left_out_of_all_mixes() -> None:
    done = simulate("--mix", "keys", "--seed", "0", "--without", "taskfail", "--chaos", "5", "--trace")
    assert done.returncode == 0
    assert "'failed'" not in done.stdout


def test_ctrl_c_ends_every_process_and_prints_what_was_found_so_far() -> None:
    run = subprocess.Popen([*MODULE, "--hours", "1", "--jobs", "2"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        own = psutil.Process(run.pid)
        wait_until(lambda: len(own.children()) >= 2, what="its processes")
        children = own.children()
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130
    assert re.search(r"^\d+ seeds, ", output, re.MULTILINE)
    wait_until(lambda: not any(is_alive(child) for child in children), what="every process has ended")


def test_a_whole_run_that_never_takes_a_row_fails_and_names_it(
    in_process: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SEEDS", 2)
    whole = in_process.invoke(command.main, ["--jobs", "1"])
    assert whole.exit_code == 1
    assert "NEVER TAKEN arrows of a lane: STOPPED + ADOPT" in whole.output
    assert "VIOLATED" not in whole.output
    part = in_process.invoke(command.main, ["--jobs", "1", "--mix", "calm"])
    assert part.exit_code == 0
    assert "NEVER TAKEN" not in part.output
    small = in_process.invoke(command.main, ["--jobs", "1", "--seeds", "1", "--coverage"])
    assert small.exit_code == 0
    assert re.search(r"^ +0  STOPPED \+ ADOPT$", small.output, re.MULTILINE)
