"""Bridge: what the user declares beside a Celery app.

Rules: declaring touches neither the broker nor the app's configuration, which may come later; what is wrong with an
option or a pipeline is said at once as far as it can be known, the rest by `check` when the app is complete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Unpack

from celery import Celery
from celery.local import Proxy

from bridge.declare.checks import check_links, check_sizes
from bridge.declare.pipeline import Pipeline, declare
from bridge.errors import ConfigurationError
from bridge.runtime.plan import LinkPlan, PipelinePlan, Plan
from bridge.settings import (
    BridgeOptions,
    Misconfigured,
    PipelineOptions,
    Resolved,
    Settings,
    check_code,
    ledger_url_of_broker,
    resolve,
)
from bridge.settings.patterns import expand_names, is_next_generation
from bridge.workers.install import add_lane_queues, install
from bridge.workers.installed import WorkerSettings
from bridge.workers.refusals import refusals
from bridge.workers.rules import TopicRules, decoder

__all__ = ["Bridge", "NoBridge", "Pipeline", "SecondBridge", "bridge_of"]

#: under this name an app holds its bridge
_ATTRIBUTE = "lanebridge"

#: what a task may say of its messages, unless its signature does
_TASK_OPTIONS = ("queue", "priority")


class NoBridge(ConfigurationError):
    """The Celery app has no bridge."""


class SecondBridge(ConfigurationError):
    """The Celery app has a bridge already."""


class Bridge:
    """Carries Kafka partitions into this Celery app, in order.

    `app` is a Celery app, `options` are those of docs/options.md; each is also a variable BRIDGE_<NAME>, which wins
    over code. Raises ConfigurationError when an argument is wrong, and for a second bridge of the same app.
    """

    def __init__(self, app: Celery, **options: Unpack[BridgeOptions]) -> None:
        app = _real(app)
        if not isinstance(app, Celery):
            raise ConfigurationError(f"Bridge(app): app must be a Celery app, not a {type(app).__name__}.")
        if hasattr(app, _ATTRIBUTE):
            raise SecondBridge(
                f"The Celery app {_name(app)} has a bridge already. "
                "Remedy: declare one and give it several pipelines, bridge.pipeline(...)."
            )
        check_code(options)
        self.app = app
        self._code: Mapping[str, object] = {**options}
        self._command_line: Mapping[str, object] = {}
        self._resolved: Resolved | None = None
        self._pipelines: list[Pipeline] = []
        self._rules: dict[str, TopicRules] = {}
        setattr(app, _ATTRIBUTE, self)
        install(app, self._worker_settings)

    def pipeline(
        self, topics: str | list[str] | tuple[str, ...], *, chain: Any, **options: Unpack[PipelineOptions]
    ) -> Pipeline:
        """Send the records of `topics` in batches through `chain`.

        `topics` is a name, a list of names, or a regular expression that begins with ^; `chain` a RecordTask, a
        BatchTask or a linear chain of them, `parse.s() | store.s()`; `options` are those of docs/options.md, durations
        in seconds. Raises ConfigurationError with everything that is wrong.
        """
        pipeline = declare(topics, chain, options, self._pipelines)
        self._pipelines.append(pipeline)
        return pipeline

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """What has been declared so far."""
        return tuple(self._pipelines)

    def override(self, command_line: Mapping[str, object]) -> None:
        """Options that win over the environment, by name; None is not given."""
        self._command_line, self._resolved = dict(command_line), None

    @property
    def resolved(self) -> Resolved:
        """The settings and where each comes from; the environment is read when they are first needed.

        Raises ConfigurationError.
        """
        if self._resolved is None:
            self._resolved = resolve(self._command_line, self._code, os.environ)
        return self._resolved

    @property
    def settings(self) -> Settings:
        """The value of every option. Raises ConfigurationError."""
        return self.resolved.settings

    @property
    def ledger_url(self) -> str:
        """Where the ledger is, password included: the option, else the app's broker. Raises ConfigurationError."""
        conf = self.app.conf
        return self.settings.ledger_url or ledger_url_of_broker(conf.broker_write_url, conf.broker_use_ssl)

    def check(self) -> None:
        """Load the app's tasks and check all that was declared. Raises ConfigurationError with everything wrong."""
        self.app.loader.import_default_modules()
        self.app.finalize()
        problems = [*self._option_problems(), *check_links(self.app, self._pipelines), *refusals(self.app)]
        if not self._pipelines:
            problems.append(
                f"The bridge of the Celery app {_name(self.app)} has no pipeline. "
                'Remedy: bridge.pipeline("orders", chain=store.s()) where the app is made.'
            )
        if problems:
            raise Misconfigured(problems)

    def plan(self) -> Plan:
        """What a bridge process runs; the app can then publish to its lanes. Raises ConfigurationError as `check`."""
        self.check()
        add_lane_queues(self.app, self.settings.lane_queues)
        pipelines = [
            PipelinePlan(
                each.rules,
                each.topics,
                tuple(map(self._with_task_options, each.links)),
                None if each.on_failed is None else self._with_task_options(each.on_failed),
                each.compression,
            )
            for each in self._pipelines
        ]
        return Plan(self.app, self.settings, tuple(pipelines), self.ledger_url)

    def _option_problems(self) -> list[str]:
        try:
            sizes = list(check_sizes(self._pipelines, self.settings))
        except Misconfigured as error:
            return list(error.problems)
        try:
            _ = self.ledger_url
        except ConfigurationError as error:
            return [*sizes, str(error)]
        return sizes

    def _with_task_options(self, link: LinkPlan) -> LinkPlan:
        """Messages are sent by name: what the task itself says of them would be forgotten."""
        task = self.app.tasks[link.task]
        own = {name: getattr(task, name, None) for name in _TASK_OPTIONS}
        options = {**{name: value for name, value in own.items() if value is not None}, **link.options}
        return LinkPlan(link.task, link.args, link.kwargs, options)

    def _worker_settings(self) -> WorkerSettings:
        settings = self.settings
        return WorkerSettings(
            group_id=settings.group_id,
            ledger_url=self.ledger_url,
            lane_queues=settings.lane_queues,
            link_timeout=max((pipeline.link_timeout for pipeline in self._pipelines), default=300.0),
            claim_timeout=settings.claim_timeout,
            worker_timeout=settings.worker_timeout,
            heartbeat_interval=settings.worker_heartbeat,
            rules_of=self._rules_of,
        )

    def _rules_of(self, topic: str) -> TopicRules | None:
        """Asked by workers for each link."""
        rules = self._rules.get(topic)
        if rules is None:
            whole_name = is_next_generation(self.settings.kafka)
            carry = (each for each in self._pipelines if expand_names(each.topics, [topic], whole_name=whole_name))
            pipeline = next(carry, None)
            if pipeline is not None:
                rules = self._rules[topic] = TopicRules(pipeline.rules.retry, decoder(pipeline.decode))
        return rules

    def __repr__(self) -> str:
        return f"<Bridge of {_name(self.app)}: {len(self._pipelines)} pipelines>"


def bridge_of(app: Celery) -> Bridge:
    """The bridge of a Celery app; the app's task modules are imported if it is not there yet. Raises NoBridge."""
    app = _real(app)
    if not hasattr(app, _ATTRIBUTE):
        app.loader.import_default_modules()
    found = getattr(app, _ATTRIBUTE, None)
    if not isinstance(found, Bridge):
        raise NoBridge(
            f"The Celery app {_name(app)} has no bridge. "
            'Remedy: declare it beside the app, bridge = Bridge(app, group_id="orders").'
        )
    return found


def _real(app: Any) -> Any:
    """The app behind `current_app` and other proxies."""
    return app._get_current_object() if issubclass(type(app), Proxy) else app


def _name(app: Celery) -> str:
    return repr(app.main or "__main__")
