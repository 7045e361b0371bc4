"""What a bridge hears at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from bridge.entries import Failure, Outcome, Seen
from bridge.ledger.ledger import Ledger
from bridge.ledger.notices import ErrorNotice, Notice, ack_channel, error_channel, read_error, read_notice
from tests.ledger.story import PARTIAL, REVOKED, TP, Story
from tests.waiting import wait_until


@pytest.fixture
def heard(client: redis.Redis, group_name: str) -> Iterator[Callable[[], bytes]]:
    """The next message for the bridge called like the group."""
    pubsub: Callable[..., Any] = client.pubsub
    with pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(ack_channel(group_name), error_channel(group_name))
        subscription.get_message(timeout=5.0)
        subscription.get_message(timeout=5.0)

        def hear() -> bytes:
            message = wait_until(lambda: subscription.get_message(timeout=0.1), what="a notice")
            assert message is not None
            data: bytes = message["data"]
            return data

        yield hear


def test_the_owner_hears_of_an_outcome_at_once(real_story: Story, heard: Callable[[], bytes]) -> None:
    real_story.claimed()
    real_story.own(real_story.group)

    real_story.ledger.complete(real_story.handle(), "w", "n", PARTIAL)

    assert read_notice(heard()) == Notice(TP, 0, real_story.lane().seen, PARTIAL)


def test_the_owner_hears_of_a_fault_of_an_unclaimed_link(real_story: Story, heard: Callable[[], bytes]) -> None:
    real_story.dispatched()
    real_story.own(real_story.group)

    real_story.ledger.fault(TP, 0, "first", 1, "", REVOKED)

    notice = read_notice(heard())
    assert notice == Notice(TP, 0, real_story.lane().seen, REVOKED)
    assert notice.seen == Seen("first", 1, "", notice.seen.outcome)


def test_a_notice_survives_line_ends_in_texts_of_a_failure(real_story: Story, heard: Callable[[], bytes]) -> None:
    failed = Outcome("failed", 5, Failure(5, message="line\nline\x00", traceback="\n\n\n\n\n\n\n"))
    real_story.claimed()
    real_story.own(real_story.group)

    real_story.ledger.complete(real_story.handle(), "w", "n", failed)

    assert read_notice(heard()).outcome == failed


def test_the_owner_hears_of_an_error_that_celery_does_not_store(
    real: Ledger, real_story: Story, heard: Callable[[], bytes]
) -> None:
    real_story.dispatched()
    real_story.own(real_story.group)
    notice = ErrorNotice("first-1", "FAILURE", "NotRegistered", "tasks.store", "host.1")

    assert real.report_error(real_story.handle(), notice)

    assert read_error(heard()) == notice
