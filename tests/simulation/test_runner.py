"""Several processes share the histories; none is left behind, and none is lost."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from multiprocessing import active_children

import pytest

from tests.simulation.history import History, tell
from tests.simulation.runner import Totals, examine_all


def test_every_history_is_told_once_and_as_in_one_process() -> None:
    histories = [History(mix, seed) for mix in ("calm", "keys", "reject") for seed in range(3)]
    totals, seen = Totals(), []
    for found in examine_all(iter(histories), jobs=2):
        totals.add(found)
        seen.append(found.ending.history)
    assert sorted(seen, key=repr) == sorted(histories, key=repr)
    assert totals.histories == {"calm": 3, "keys": 3, "reject": 3}
    assert totals.steps["keys"] == sum(tell(history).steps for history in histories[3:6])
    assert not totals.red
    assert not active_children()


def test_a_red_history_comes_back_smaller_and_the_mutation_is_in_every_process() -> None:
    histories = [History("keys", seed, mutation="commit-highest") for seed in range(4)]
    totals = Totals()
    for found in examine_all(iter(histories), jobs=2):
        totals.add(found)
    assert totals.reds["keys"] == len(totals.red) > 0
    assert all(red.history.without and red.promise == "P1" for red in totals.red)


def test_who_has_heard_enough_ends_the_processes() -> None:
    endless = (History("calm", seed) for seed in range(10**9))
    with closing(examine_all(endless, jobs=2)) as all_found:
        next(all_found)
        assert len(active_children()) == 2
    assert not active_children()


def test_a_process_that_dies_ends_the_run() -> None:
    endless = (History("calm", seed) for seed in range(10**9))
    with closing(examine_all(endless, jobs=2)) as all_found:
        next(all_found)
        pid = active_children()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((EOFError, ConnectionResetError)):
            for _ in all_found:
                pass
    assert not active_children()
