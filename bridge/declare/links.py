"""The chain of a pipeline, and its `on_failed` task: Celery signatures, read into links.

Rules: only what the signature says is read, so that neither the app's configuration nor the tasks are needed yet. A
chain is linear; what a link may say of itself is its queue, its priority and its time limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from celery import Task
from celery.canvas import Signature

from bridge.runtime.plan import LinkPlan
from bridge.settings import Option
from bridge.settings.kinds import Integer, Number, Text, Unfit

#: what `.set(...)` may say of a link
LINK_OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option(Text("the name of a queue"), None, "", '"reports"', default_text="the lane's queue", name="queue"),
        Option(Integer(0, 255), None, "", "5", default_text="the task's", name="priority"),
        Option(Number(0.001, 86400), None, "", "60", "seconds", default_text="the task's", name="time_limit"),
        Option(Number(0.001, 86400), None, "", "50", "seconds", default_text="the task's", name="soft_time_limit"),
    )
}

_IN_ORDER = "a lane runs its batches in order, as soon as it can. Remedy: remove it; retry=Retry(delay=...) waits"
_REPUBLISHED = "the bridge publishes a link again by itself. Remedy: remove it; retry=Retry(...) says how often to try"
_CALLBACKS = "callbacks run outside the order of the lane. Remedy: make it another link of the chain"
_IDS = "the bridge gives each link its id and its place. Remedy: remove it"
_ROUTES = "a link goes to its lane's queue. Remedy: remove it, or name another queue with .set(queue=...)"
_CONTENT = "a link's message carries only a small handle, its records are stored apart. Remedy: remove it"

#: options of a signature that a link may not have, and why
REFUSED_LINK_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("countdown", "eta"), _IN_ORDER),
    "expires": "a batch that expires would be lost. Remedy: remove it; link_timeout limits how long a link may run",
    **dict.fromkeys(("retry", "retry_policy", "max_retries"), _REPUBLISHED),
    "link": _CALLBACKS,
    "link_error": "errors of a lane are handled in its order. Remedy: remove it; on_failed=... names a task"
    " that is asked about failed records",
    **dict.fromkeys(("task_id", "group_id", "group_index", "root_id", "parent_id", "reply_to", "chord"), _IDS),
    **dict.fromkeys(("exchange", "routing_key"), _ROUTES),
    **dict.fromkeys(("serializer", "compression", "headers", "stamped_headers"), _CONTENT),
}
_ONLY = f"a link takes {', '.join(LINK_OPTIONS)} only. Remedy: remove it"

_HOOK = "Remedy: name a BatchTask, on_failed=decide.s()"
_LINEAR = "a lane runs one link after the other"
_CHAIN = "celery.chain"

#: signatures that are no task, by the name of the task that Celery runs them with
_SHAPES = {
    "celery.group": f"a group: {_LINEAR}. Remedy: chain its tasks, a.s() | b.s()",
    "celery.chord": f"a chord: {_LINEAR}. Remedy: chain its tasks, a.s() | b.s()",
    **dict.fromkeys(
        ("celery.map", "celery.starmap", "celery.chunks"),
        "a map over arguments: a link gets its records from Kafka. Remedy: use a BatchTask, it gets them all at once",
    ),
}


def read_chain(chain: object, problems: list[str]) -> tuple[LinkPlan, ...]:
    """The links of a task, a signature or a chain; what is wrong goes to `problems`."""
    if isinstance(chain, Task):
        return (LinkPlan(chain.name),)
    if not isinstance(chain, Signature):
        problems.append(f"chain is {_what_it_is(chain)}.")
        return ()
    links = list(_flat(chain, problems))
    if not links and not problems:
        problems.append("chain is empty. Remedy: name at least one task, chain=store.s().")
    return tuple(_link(f"link {number}", each, problems) for number, each in enumerate(links, 1))


def read_hook(task: object, problems: list[str]) -> LinkPlan | None:
    """The `on_failed` task, None when there is none; what is wrong goes to `problems`."""
    if task is None:
        return None
    if isinstance(task, Task):
        return LinkPlan(task.name)
    if not isinstance(task, Signature):
        problems.append(f"on_failed={_kind_of(task)} is no task. {_HOOK}.")
    elif task.task in {_CHAIN, *_SHAPES}:
        problems.append(f"on_failed is a {task.task.removeprefix('celery.')}: one task decides. {_HOOK}.")
    else:
        return _link("on_failed", task, problems)
    return None


def _kind_of(value: object) -> str:
    return getattr(value, "__name__", type(value).__name__) if callable(value) else type(value).__name__


def _what_it_is(chain: object) -> str:
    if isinstance(chain, (list, tuple)):
        return "a list. Remedy: join the links, chain=parse.s() | store.s()"
    if callable(chain):
        name = getattr(chain, "__name__", type(chain).__name__)
        return (
            f"a function that is no task. Remedy: decorate it with @app.task(base=RecordTask) or base=BatchTask, "
            f"and write chain={name}.s()"
        )
    return f"of type {type(chain).__name__}. Remedy: give signatures of tasks, chain=parse.s() | store.s()"


def _flat(signature: Any, problems: list[str]) -> Iterator[Any]:
    if signature.task != _CHAIN:
        yield signature
        return
    for name in signature.options:
        reason = REFUSED_LINK_OPTIONS.get(name, "it is set on the whole chain. Remedy: set it on its links")
        problems.append(f"chain has {name}=...: {reason}.")
    for task in signature.tasks:
        yield from _flat(task, problems)


def _link(place: str, signature: Any, problems: list[str]) -> LinkPlan:
    def refuse(text: str) -> None:
        problems.append(f"{place} ({signature.task}) {text}.")

    if shape := _SHAPES.get(signature.task):
        refuse(f"is {shape}")
        return LinkPlan(signature.task)
    if signature.immutable:
        name = signature.task.rpartition(".")[2]
        refuse(f"is immutable, but every link is called with its record or batch. Remedy: write {name}.s(...)")
    options = {}
    for name, value in signature.options.items():
        if known := LINK_OPTIONS.get(name):
            try:
                options[name] = known.read(value, f"has {name}={known.quoted(value)}")
            except Unfit as unfit:
                refuse(str(unfit).removesuffix("."))
        else:
            refuse(f"has {name}=...: {REFUSED_LINK_OPTIONS.get(name, _ONLY)}")
    return LinkPlan(signature.task, tuple(signature.args), dict(signature.kwargs), options)
