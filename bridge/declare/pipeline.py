"""A pipeline: topics, the chain of their batches, and its options, checked as far as they can be when declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge.declare.links import read_chain, read_hook
from bridge.declare.topics import own_dead_letters, read_topics, shared_topics
from bridge.ledger.compression import Compression
from bridge.records import Decode, PipelineRules
from bridge.runtime.plan import LinkPlan
from bridge.settings import PIPELINE_OPTIONS, Misconfigured
from bridge.settings.kinds import Unfit
from bridge.settings.option import did_you_mean

_TWO_ANSWERS = (
    "on_exhausted={!r} and on_failed are both set: the task decides for each record. Remedy: leave one of them out."
)


@dataclass(frozen=True, slots=True, repr=False)
class Pipeline:
    """Topics and what their batches go through. `topics` are names, or regular expressions that begin with ^;
    `on_failed` is the task that is asked about records that are given up (None: `rules` say what becomes of them);
    `decode` is "raw", "json" or a function of a record; `compression` is that of its chains' payloads."""

    name: str
    topics: tuple[str, ...]
    links: tuple[LinkPlan, ...]
    rules: PipelineRules
    on_failed: LinkPlan | None
    decode: Literal["raw", "json"] | Decode
    compression: Compression

    @property
    def link_timeout(self) -> float:
        """Seconds that one link may run."""
        return self.rules.link_timeout

    def __repr__(self) -> str:
        return f"<Pipeline {self.name}: {' | '.join(link.task for link in self.links)}>"


def declare(topics: object, chain: object, options: Mapping[str, Any], others: Sequence[Pipeline]) -> Pipeline:
    """The pipeline, beside the `others` of its bridge. Raises Misconfigured with everything that is wrong."""
    problems: list[str] = []
    names = read_topics(topics, problems)
    links = read_chain(chain, problems)
    values = _read_options(options, problems)
    hook = read_hook(values["on_failed"], problems)
    if hook is not None and values["on_exhausted"] != "dead_letter":
        problems.append(_TWO_ANSWERS.format(values["on_exhausted"]))
    name = values["name"] or ",".join(names)
    problems += _conflicts(name, names, values["dead_letter_topic"], others)
    if problems:
        raise Misconfigured([f"Pipeline {name or topics!r}: {text}" for text in problems])
    return Pipeline(
        name=name,
        topics=names,
        links=links,
        rules=_rules(name, links, hook, values),
        on_failed=hook,
        decode=values["decode"],
        compression=values["compression"],
    )


def _read_options(options: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    values = {option.name: option.default for option in PIPELINE_OPTIONS}
    problems += [
        f"there is no option {name}{did_you_mean(name, list(values))}" for name in options if name not in values
    ]
    for option in PIPELINE_OPTIONS:
        value = options.get(option.name, option.default)
        if value is not option.default:
            try:
                values[option.name] = option.read(value, f"{option.name}={option.quoted(value)}")
            except Unfit as unfit:
                problems.append(str(unfit))
    return values


def _conflicts(name: str, topics: Sequence[str], dead_letter_topic: str, others: Sequence[Pipeline]) -> list[str]:
    found = [
        f"dead_letter_topic={dead_letter_topic!r}: its dead letters would come back to it, {topic} is one of its "
        "topics. Remedy: name another topic, or take this one out of its topics."
        for topic in dict.fromkeys(own_dead_letters(topics, dead_letter_topic))
    ]
    for other in others:
        found += [
            f"topic {topic!r} is also one of pipeline {other.name!r} (topics {', '.join(other.topics)}). "
            "Remedy: a topic belongs to one pipeline, take it out of one of them."
            for topic in shared_topics(topics, other.topics)
        ]
        if other.name == name:
            found.append("another pipeline has this name. Remedy: name=... gives it one of its own.")
    return found


def _rules(name: str, links: Sequence[LinkPlan], hook: LinkPlan | None, values: Mapping[str, Any]) -> PipelineRules:
    return PipelineRules(
        name=name,
        tasks=tuple(link.task for link in links),
        batch_size=values["batch_size"],
        batch_bytes=values["batch_bytes"],
        batch_timeout=values["batch_timeout"],
        close_batch=values["close_batch"],
        order_by=values["order_by"],
        lanes=values["lanes"] if values["order_by"] == "key" else 1,
        retry=values["retry"],
        link_timeout=values["link_timeout"],
        max_batches_per_chain=values["max_batches_per_chain"],
        train_target=values["train_target"],
        on_exhausted=values["on_exhausted"],
        on_failed="" if hook is None else hook.task,
        dead_letter_topic=values["dead_letter_topic"],
    )
