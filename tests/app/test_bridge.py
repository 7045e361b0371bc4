"""A bridge beside a Celery app."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from celery.local import Proxy

import bridge as package
from bridge import Bridge, Record, Retry
from bridge.app import NoBridge, SecondBridge, bridge_of
from bridge.errors import ConfigurationError
from bridge.settings import Misconfigured
from bridge.workers.installed import settings_of
from bridge.workers.rules import TopicRules, read_json
from tests.app.apps import Shop


def test_the_bridge_is_found_through_its_app(shop: Shop) -> None:
    bridge = Bridge(shop.app, group_id="orders")
    assert bridge_of(shop.app) is bridge
    assert bridge.app is shop.app


def test_a_proxy_of_the_app_is_the_app(shop: Shop) -> None:
    bridge = Bridge(Proxy(lambda: shop.app), group_id="orders")
    assert bridge_of(shop.app) is bridge is bridge_of(Proxy(lambda: shop.app))


def test_an_app_without_a_bridge_is_told_how_to_declare_one() -> None:
    with pytest.raises(NoBridge) as error:
        bridge_of(Celery("lonely", set_as_current=False))
    assert str(error.value) == (
        "The Celery app 'lonely' has no bridge. "
        'Remedy: declare it beside the app, bridge = Bridge(app, group_id="orders").'
    )


def test_a_bridge_may_stand_in_a_module_that_the_app_includes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_bridge.py").write_text(
        "from bridge import Bridge\nfrom late_app import app\nbridge = Bridge(app, group_id='late')\n"
    )
    (tmp_path / "late_app.py").write_text(
        "from celery import Celery\napp = Celery('late', include=['late_bridge'], set_as_current=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    assert bridge_of(import_module("late_app").app).settings.group_id == "late"


def test_an_app_has_one_bridge(shop: Shop) -> None:
    Bridge(shop.app, group_id="orders")
    with pytest.raises(SecondBridge) as error:
        Bridge(shop.app, group_id="refunds")
    assert str(error.value) == (
        "The Celery app 'shop' has a bridge already. "
        "Remedy: declare one and give it several pipelines, bridge.pipeline(...)."
    )


def test_only_a_celery_app_can_have_a_bridge() -> None:
    with pytest.raises(ConfigurationError, match=r"^Bridge\(app\): app must be a Celery app, not a dict\.$"):
        Bridge({}, group_id="orders")


def test_a_wrong_argument_is_refused_at_once_and_leaves_no_bridge_behind(shop: Shop) -> None:
    with pytest.raises(Misconfigured, match=r"^Bridge\(lane_queues='many'\): lane_queues must be an integer"):
        Bridge(shop.app, group_id="orders", lane_queues="many")  # type: ignore[arg-type]
    assert bridge_of_or_none(shop.app) is None
    Bridge(shop.app, group_id="orders")


def bridge_of_or_none(app: Celery) -> Bridge | None:
    """The bridge, if there is one."""
    try:
        return bridge_of(app)
    except NoBridge:
        return None


def test_declaring_reads_neither_configuration_nor_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("late", set_as_current=False)
    app.config_from_object("not_there_yet")
    bridge = Bridge(app)
    bridge.pipeline("orders", chain=app.signature("shop.parse") | app.signature("shop.store"))
    assert not app.configured
    assert not app.finalized
    monkeypatch.setenv("BRIDGE_GROUP_ID", "set-later")
    assert bridge.settings.group_id == "set-later"
    assert not app.configured


def test_the_ledger_is_at_the_broker_of_a_configuration_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("late", set_as_current=False)
    bridge = Bridge(app, group_id="orders")
    app.conf.update(broker_url="redis://cache:6379/3")
    assert bridge.ledger_url == "redis://cache:6379/3"
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere:6379/4")
    assert bridge.ledger_url == "redis://elsewhere:6379/4"


def test_the_broker_s_tls_settings_hold_for_the_ledger() -> None:
    app = Celery("tls", broker="redis://cache:6380/0", set_as_current=False)
    bridge = Bridge(app, group_id="orders")
    app.conf.broker_use_ssl = {"ssl_cert_reqs": "required"}
    assert bridge.ledger_url == "rediss://cache:6380/0?ssl_cert_reqs=required"


def test_a_ledger_of_its_own_wins_over_the_broker() -> None:
    app = Celery("rabbit", broker="amqp://rabbit//", set_as_current=False)
    assert Bridge(app, group_id="orders", ledger_url="redis://ledger/0").ledger_url == "redis://ledger/0"


def test_the_command_line_overrides_until_it_is_given_anew(bridge: Bridge) -> None:
    assert bridge.settings.lane_queues == 16
    bridge.override({"lane_queues": "4", "http": None})
    assert bridge.settings.lane_queues == 4
    assert bridge.resolved.origin["lane_queues"] == "command line"
    bridge.override({})
    assert bridge.settings.lane_queues == 16


def test_workers_get_what_they_need_when_they_ask(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = Bridge(shop.app, group_id="orders", worker_heartbeat=2.0)
    bridge.pipeline("orders", chain=shop.store.s(), link_timeout=30.0)
    bridge.pipeline("refunds", chain=shop.store.s(), link_timeout=900.0)
    monkeypatch.setenv("BRIDGE_LANE_QUEUES", "4")
    monkeypatch.setenv("BRIDGE_CLAIM_TIMEOUT", "7")
    monkeypatch.setenv("BRIDGE_WORKER_TIMEOUT", "8")
    found = settings_of(shop.app)
    assert (found.group_id, found.ledger_url) == ("orders", "redis://:hunter2@localhost:6379/0")
    assert (found.lane_queues, found.link_timeout) == (4, 900.0)
    assert (found.claim_timeout, found.worker_timeout, found.heartbeat_interval) == (7.0, 8.0, 2.0)


def test_workers_get_the_rules_of_a_topic_s_pipeline(shop: Shop) -> None:
    def decode(record: Record) -> object:
        return record.key

    bridge = Bridge(shop.app, group_id="orders")
    rules_of = settings_of(shop.app).rules_of
    assert rules_of("orders") is None, "no pipeline carries it yet"
    retry = Retry(give_up_on=(KeyError,))
    bridge.pipeline(["orders", "refunds"], chain=shop.store.s(), retry=retry, decode="json")
    bridge.pipeline("^log-.*", chain=shop.store.s(), decode=decode)
    bridge.pipeline("raw", chain=shop.store.s())
    assert rules_of("orders") == rules_of("refunds") == TopicRules(retry, read_json)
    assert rules_of("log-eu") == TopicRules(Retry(), decode)
    assert rules_of("raw") == TopicRules(Retry(), None)
    assert rules_of("catalog-eu") is None
    assert rules_of("orders") is rules_of("orders"), "looked up once"


def test_workers_read_expressions_as_the_bridge_does(shop: Shop) -> None:
    """With group.protocol=consumer an expression matches whole names, else their beginnings."""
    bridge = Bridge(shop.app, group_id="orders", kafka={"group.protocol": "consumer"})
    rules_of = settings_of(shop.app).rules_of
    bridge.pipeline("^orders", chain=shop.store.s(), decode="json")
    bridge.pipeline("^orders-.+", chain=shop.store.s())
    assert (rules_of("orders"), rules_of("orders-eu")) == (TopicRules(Retry(), read_json), TopicRules(Retry(), None))
    assert rules_of("ordersheet") is None


def test_a_worker_of_a_bridge_without_a_ledger_is_told_so() -> None:
    app = Celery("rabbit", broker="amqp://rabbit//", set_as_current=False)
    Bridge(app, group_id="orders")
    with pytest.raises(ConfigurationError, match=r"Set ledger_url \(BRIDGE_LEDGER_URL\)"):
        settings_of(app)


def test_no_secret_is_in_what_is_printed_of_a_bridge(shop: Shop) -> None:
    bridge = Bridge(
        shop.app, group_id="orders", ledger_url="redis://:hunter2@ledger/0", kafka={"sasl.password": "hunter2"}
    )
    pipeline = bridge.pipeline("orders", chain=shop.store.s("hunter2"))
    assert repr(bridge) == "<Bridge of 'shop': 1 pipelines>"
    assert repr(pipeline) == "<Pipeline orders: shop.store>"
    assert "hunter2" not in repr(bridge.settings) + repr(bridge.resolved) + str(pipeline)


def test_the_package_has_the_public_names_and_nothing_else() -> None:
    public = ["Batch", "BatchTask", "Bridge", "Failed", "Record", "RecordFailed", "RecordTask", "Retry"]
    assert package.__all__ == public == dir(package)
    assert [getattr(package, name).__name__ for name in public] == public
    with pytest.raises(AttributeError, match="module 'bridge' has no attribute 'Pipeline'"):
        _ = package.Pipeline


def test_an_app_does_not_load_what_only_a_bridge_process_needs() -> None:
    script = (
        "import sys, bridge\n"
        "assert not [name for name in sys.modules if name.startswith(('celery', 'bridge.'))]\n"
        "from bridge import BatchTask, Bridge, RecordTask\n"
        "heavy = ('confluent_kafka', 'bridge.kafka', 'bridge.core', 'bridge.cli', 'flower', 'tornado', 'rich')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
