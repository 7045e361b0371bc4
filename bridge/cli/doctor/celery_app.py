"""Settings of the Celery app that are wrong for lanes, or a risk for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError

from bridge.cli.doctor.findings import Finding, note, ok, problem, warning
from bridge.runtime.plan import Plan
from bridge.settings import shown

#: what kombu's Redis transport takes when nothing is set, in seconds
DEFAULT_VISIBILITY_TIMEOUT = 3600.0

#: seconds that the broker may take to answer
TIMEOUT = 3


def look_at_celery(plan: Plan) -> list[Finding]:
    """The broker, and every setting that CHECKS knows."""
    return [*_broker(plan), *(finding for check in CHECKS for finding in check(plan))]


def _broker(plan: Plan) -> list[Finding]:
    app: Any = plan.app
    with app.connection_for_write(connect_timeout=TIMEOUT) as connection:
        url = shown(connection.as_uri(include_password=True))
        try:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT)
        except (BrokerError, KombuError, OSError) as error:
            return [problem(f"the broker {url} cannot be reached: {error}", "start it, or set broker_url of the app")]
    return [ok(f"broker reached at {url}")]


def _visibility_timeout(plan: Plan) -> list[Finding]:
    options = plan.app.conf.broker_transport_options or {}
    visible = float(options.get("visibility_timeout", DEFAULT_VISIBILITY_TIMEOUT))
    found = []
    for pipeline in plan.pipelines:
        limit = pipeline.rules.link_timeout
        if visible < limit:
            text = (
                f"visibility_timeout={visible:g} s is below link_timeout={limit:g} s of pipeline {pipeline.rules.name}"
            )
            remedy = (
                "set broker_transport_options['visibility_timeout'] above it: links that run longer are delivered "
                "again, and refused each time"
            )
            found.append(warning(text, remedy))
    return found


def _late_acks(plan: Plan) -> list[Finding]:
    conf = plan.app.conf
    if conf.task_acks_late and conf.task_reject_on_worker_lost:
        text = "task_acks_late with task_reject_on_worker_lost: a task that kills its worker comes back without end"
        return [warning(text, "lane tasks are excepted; for the others, limit what kills workers")]
    return []


def _prefetch(plan: Plan) -> list[Finding]:
    multiplier = plan.app.conf.worker_prefetch_multiplier
    if multiplier == 1:
        return []
    text = f"worker_prefetch_multiplier={multiplier}: a plain `celery worker` holds back links that others could run"
    return [note(text, "lanebridge worker sets 1 by itself; for plain workers set it in the app")]


def _time_limits(plan: Plan) -> list[Finding]:
    hard, found = plan.app.conf.task_time_limit, []
    for pipeline in plan.pipelines:
        if hard and hard < pipeline.rules.link_timeout:
            text = f"task_time_limit={hard:g} s is below link_timeout={pipeline.rules.link_timeout:g} s"
            found.append(note(f"{text} of pipeline {pipeline.rules.name}: it decides when a link is killed"))
    return found


def _rate_limit(plan: Plan) -> list[Finding]:
    rate = plan.app.conf.task_default_rate_limit
    if not rate:
        return []
    remedy = "set rate_limit=None on the lane tasks if their batches need not be slowed down"
    return [warning(f"task_default_rate_limit={rate!r} also slows down lanes", remedy)]


def _result_backend(plan: Plan) -> list[Finding]:
    backend = shown(plan.app.conf.result_backend or "none")
    return [note(f"result backend of the app: {backend}; lane tasks do not use it (their results are ignored)")]


CHECKS: tuple[Callable[[Plan], list[Finding]], ...] = (
    _visibility_timeout,
    _late_acks,
    _time_limits,
    _rate_limit,
    _prefetch,
    _result_backend,
)
