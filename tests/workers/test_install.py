"""Lane queues are added to what an app has, whenever and however it is configured."""

import click
import pytest
from celery import Celery
from kombu.entity import Exchange, Queue

from bridge.errors import ConfigurationError
from bridge.records import Batch
from bridge.workers.errors import WorkerRefused
from bridge.workers.install import add_lane_queues, install, lane_queue
from bridge.workers.installed import WorkerSettings, connection_of, settings_of
from bridge.workers.tasks import BatchTask
from tests.workers.fakes import same_rules

LANES = [f"lane-{number}" for number in range(3)]
SETTINGS = WorkerSettings(group_id="g", ledger_url="redis://:secret@localhost:1/0", rules_of=same_rules, lane_queues=3)


def test_the_default_queue_stays(app: Celery) -> None:
    add_lane_queues(app, 3)
    assert list(app.amqp.queues.consume_from) == ["celery", *LANES]
    assert app.amqp.default_queue.name == "celery"


def test_the_apps_own_queues_stay_as_they_are(app: Celery) -> None:
    media = Exchange("media", type="topic")  # type: ignore[no-untyped-call]
    web = Queue("web", media, routing_key="web.#")  # type: ignore[no-untyped-call]
    app.conf.task_queues = [web, Queue("lane-1")]  # type: ignore[no-untyped-call]
    add_lane_queues(app, 3)
    assert list(app.amqp.queues.consume_from) == ["web", "lane-1", "lane-0", "lane-2"]
    assert app.amqp.queues["web"].exchange.type == "topic"


def test_adding_them_again_changes_nothing(app: Celery) -> None:
    add_lane_queues(app, 3)
    before = app.amqp.queues["lane-0"]
    add_lane_queues(app, 3)
    assert app.amqp.queues["lane-0"] is before


def test_they_are_declared_as_celery_declares_a_queue_that_it_meets_by_name(app: Celery) -> None:
    app.conf.task_queue_max_priority = 10
    add_lane_queues(app, 1)
    other = Celery("other", set_as_current=False)
    other.conf.task_queue_max_priority = 10
    assert app.amqp.queues[lane_queue(0)].as_dict() == other.amqp.queues[lane_queue(0)].as_dict()


def test_they_are_there_for_an_app_that_creates_no_queues_by_itself(app: Celery) -> None:
    app.conf.task_create_missing_queues = False
    add_lane_queues(app, 1)
    assert app.amqp.queues[lane_queue(0)].routing_key == "lane-0"


def test_a_worker_can_be_pinned_to_some_of_them(app: Celery) -> None:
    add_lane_queues(app, 3)
    app.amqp.queues.select(["lane-0", "lane-2"])
    assert list(app.amqp.queues.consume_from) == ["lane-0", "lane-2"]


def test_installing_asks_for_no_settings_and_reads_no_configuration(app: Celery) -> None:
    def never() -> WorkerSettings:
        raise AssertionError("asked too early")

    install(app, never)
    assert not app.configured


def test_the_last_settings_count(app: Celery) -> None:
    install(app, lambda: SETTINGS)
    install(app, lambda: WorkerSettings(group_id="other", ledger_url="", rules_of=same_rules))
    assert settings_of(app).group_id == "other"


def test_an_app_without_a_bridge_is_told_so(app: Celery) -> None:
    install(Celery("one", set_as_current=False), lambda: SETTINGS)
    install(two := Celery("two", set_as_current=False), lambda: SETTINGS)
    with pytest.raises(ConfigurationError, match=r"'unit' has RecordTask or BatchTask tasks but no bridge"):
        settings_of(app)
    assert settings_of(two) is SETTINGS


def test_the_ledgers_address_is_never_shown(app: Celery) -> None:
    assert "secret" not in repr(SETTINGS)


def test_a_connection_is_made_once_and_asks_nobody(app: Celery) -> None:
    install(app, lambda: SETTINGS)
    assert connection_of(app) is connection_of(app)


@pytest.mark.parametrize("url", ["sentinel://localhost:26379/0", "localhost"])
def test_a_worker_whose_ledger_has_an_impossible_address_does_not_start(app: Celery, url: str) -> None:
    install(app, lambda: WorkerSettings(group_id="g", ledger_url=url, rules_of=same_rules))
    app.conf.broker_url = "memory://"
    with pytest.raises(WorkerRefused, match="cannot serve lanes"):
        app.WorkController(hostname="w@t", pool_cls="solo")


def test_a_worker_with_bad_settings_does_not_start(app: Celery) -> None:
    def bad() -> WorkerSettings:
        raise ConfigurationError("BRIDGE_LANE_QUEUES=many is no number")

    install(app, bad)
    app.conf.broker_url = "memory://"
    with pytest.raises(WorkerRefused, match="BRIDGE_LANE_QUEUES=many is no number"):
        app.WorkController(hostname="w@t", pool_cls="solo")


def test_a_worker_with_a_refused_setting_does_not_start(app: Celery) -> None:
    install(app, lambda: SETTINGS)
    app.conf.broker_url = "memory://"

    @app.task(base=BatchTask, shared=False, name="store", reject_on_worker_lost=True)
    def store(batch: Batch) -> None: ...

    with pytest.raises(WorkerRefused, match="task_reject_on_worker_lost") as caught:
        app.WorkController(hostname="w@t", pool_cls="solo")
    assert isinstance(caught.value, click.ClickException)
    assert isinstance(caught.value, ConfigurationError)
