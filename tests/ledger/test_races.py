"""Several at once: of each step that only one may do, one does it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from bridge.entries import Owner
from tests.ledger.story import OK, TP, Story, keys_of

RACERS = 8


def race(act: Callable[[int], Any]) -> list[Any]:
    """What `act` answers when as many threads as there are racers do it at the same time."""
    barrier = threading.Barrier(RACERS, timeout=30.0)

    def run(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


def test_owners_that_race_get_different_numbers_and_one_of_them_dispatches(real_story: Story) -> None:
    owners: list[Owner] = race(lambda number: real_story.ledger.assign(TP, f"bridge {number}", 0).owner)
    assert len({owner.number for owner in owners}) == RACERS

    answers = race(lambda n: real_story.ledger.dispatch([real_story.command(f"chain-{n}", owner=owners[n])]))

    last = max(range(RACERS), key=lambda n: owners[n].number)
    assert [answer for (answer,) in answers] == ["ok" if n == last else "not owner" for n in range(RACERS)]
    assert real_story.lane().chain == f"chain-{last}"


def test_dispatches_that_race_replace_the_lane_once(real_story: Story, client: redis.Redis) -> None:
    real_story.completed()
    seen = real_story.lane().seen

    answers = race(lambda n: real_story.ledger.dispatch([real_story.command(f"chain-{n}", expect=seen)])[0])

    assert sorted(answers) == ["changed"] * (RACERS - 1) + ["ok"]
    winner = f"chain-{answers.index('ok')}"
    assert real_story.lane().chain == winner
    assert keys_of(client, real_story.group) == {"orders/3}", f"orders/3}}:{winner}-1"}


def test_deliveries_that_race_claim_a_link_once(real_story: Story) -> None:
    real_story.dispatched()

    answers = race(lambda n: real_story.ledger.claim(real_story.handle(), f"w{n}", f"n{n}"))

    assert sorted(answer.refused for answer in answers) == [""] + ["claimed"] * (RACERS - 1)
    winner = next(n for n, answer in enumerate(answers) if not answer.refused)
    assert real_story.lane().seen.claim == f"w{winner} n{winner}"


def test_an_outcome_and_a_new_attempt_that_race_do_not_both_stand(real_story: Story) -> None:
    real_story.claimed()
    seen = real_story.lane().seen

    def act(number: int) -> bool:
        if number % 2:
            return real_story.ledger.complete(real_story.handle(), "w", "n", OK)
        return real_story.ledger.dispatch([real_story.command("second", expect=seen)]) == ["ok"]

    answers = race(act)

    completed, superseded = any(answers[1::2]), any(answers[0::2])
    assert completed != superseded
    assert real_story.lane().chain == ("first" if completed else "second")
    assert real_story.lane().watermark == (10 if completed else -1)
