"""The example app of the repository."""

from __future__ import annotations

import pytest

from bridge import Batch, Record, Retry
from bridge.app import bridge_of
from tasks import app
from tasks.celery import double, show


def test_the_pipeline_of_the_guide_is_declared() -> None:
    bridge = bridge_of(app)
    (pipeline,) = bridge.pipelines
    assert bridge.settings.group_id == "group_1"
    assert pipeline.topics == ("test",)
    assert [link.task for link in pipeline.links] == ["tasks.celery.double", "tasks.celery.show"]
    assert (pipeline.rules.batch_size, pipeline.rules.batch_timeout) == (100, 0.2)
    assert pipeline.rules.retry == Retry(max_attempts=5, delay=1.0, max_delay=60.0)
    bridge.check()


def test_a_number_is_parsed_and_doubled() -> None:
    assert double(Record("test", 1, 0, value=b"2")) == ["2", 4]


def test_what_is_no_number_fails() -> None:
    with pytest.raises(ValueError, match="two"):
        double(Record("test", 1, 0, value=b"two"))


def test_a_batch_is_printed_as_in_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    show(Batch.of([Record("test", 1, n, data=[str(i), 2 * i]) for n, i in enumerate((2, 5, 8))]))
    assert capsys.readouterr().out.startswith('Got batch: [("2", 4), ("5", 10), ("8", 16)]')
