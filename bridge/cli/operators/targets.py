"""Which topics, partitions and lanes a command means, by what the app declares and what its bridges show now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.app import Bridge, Pipeline
from bridge.cli.errors import Failed, Misused
from bridge.cli.operators.desk import Desk
from bridge.instructions import Target
from bridge.ops.state import Lane, State
from bridge.settings.option import did_you_mean
from bridge.settings.patterns import expand_names, is_next_generation


def target_of(lane: Lane) -> Target:
    """The lane."""
    return Target(lane.topic, lane.partition, lane.lane)


def lanes_of(state: State, targets: Sequence[Target]) -> list[Lane]:
    """The lanes of the targets that bridges show."""
    return [lane for lane in state.lanes if any(target.covers(target_of(lane)) for target in targets)]


def chosen(desk: Desk, targets: Sequence[Target], pipelines: Sequence[str], also: Iterable[str] = ()) -> list[Target]:
    """Each target once, those of whole pipelines with them; an expression means the topics that bridges show, and of
    `also` those that it matches. Raises Misused when there is none."""
    if not targets and not pipelines:
        raise Misused("name a TARGET (TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE), or a whole --pipeline")
    known = {partition.topic for partition in desk.state.partitions} | set(also)
    topics = [topic for name in pipelines for topic in _topics_of(desk.bridge, name, known)]
    return list(dict.fromkeys([*targets, *map(Target, topics)]))


def _topics_of(bridge: Bridge, name: str, known: set[str]) -> list[str]:
    names = [pipeline.name for pipeline in bridge.pipelines]
    pipeline = next((each for each in bridge.pipelines if each.name == name), None)
    if pipeline is None:
        raise Misused(f"the app has no pipeline {name!r}, it has {_listed(names)}{did_you_mean(name, names)}")
    found = _topics(bridge, pipeline, known)
    if not found:
        raise Failed(
            f"pipeline {name!r} is the expression {', '.join(pipeline.topics)}, and no bridge shows a topic that it "
            "matches: name the topics"
        )
    return found


def _topics(bridge: Bridge, pipeline: Pipeline, known: Iterable[str]) -> list[str]:
    """Names are taken as they are; what an expression matches may be named by another pipeline."""
    names = [topic for topic in pipeline.topics if not topic.startswith("^")]
    patterns = [topic for topic in pipeline.topics if topic.startswith("^")]
    others = {topic for other in bridge.pipelines if other is not pipeline for topic in other.topics}
    matched = expand_names(patterns, known, whole_name=is_next_generation(bridge.settings.kafka))
    return [*names, *(topic for topic in matched if topic not in others and topic not in names)]


def check_known(desk: Desk, target: Target) -> None:
    """Raises Misused when there is no such topic, partition or lane. A topic of the app may wait for its bridge, and a
    partition that no bridge shows just now is on its way from one to the other."""
    shown = {partition.partition for partition in desk.state.partitions if partition.topic == target.topic}
    if not shown:
        _check_declared(desk, target.topic)
        return
    if target.partition > max(shown):
        raise Misused(
            f"no bridge has {Target(*target[:2])}: the partitions of {target.topic} that bridges have end with "
            f"{max(shown)}"
        )
    count = len(lanes_of(desk.state, [Target(*target[:2])]))
    if target.lane >= count > 0:
        have = "one lane, 0" if count == 1 else f"{count} lanes, 0 to {count - 1}"
        raise Misused(f"there is no lane {target}: partition {target.topic}/{target.partition} has {have}")


def _check_declared(desk: Desk, topic: str) -> None:
    if any(_topics(desk.bridge, pipeline, [topic]).count(topic) for pipeline in desk.bridge.pipelines):
        return
    declared = [topic for pipeline in desk.bridge.pipelines for topic in pipeline.topics]
    known = sorted({partition.topic for partition in desk.state.partitions}.union(declared))
    raise Misused(
        f"no pipeline of the app has a topic {topic}, and no bridge shows one; there is {_listed(known)}"
        f"{did_you_mean(topic, known)}"
    )


def _listed(names: Sequence[str], limit: int = 10) -> str:
    left = len(names) - limit
    return f"{', '.join(names[:limit])}{f' and {left} more' if left > 0 else ''}" or "none"
