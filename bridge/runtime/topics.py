"""Which pipeline a topic belongs to, how its links are published, and where its dead letters go.

Rules: a topic belongs to one pipeline; two whose expressions both match it is an error. A dead letter topic of the
bridge's own is carried only where it is named: where only an expression matches it, its partitions are left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.dead_letters import create_command
from bridge.ledger.compression import Compression
from bridge.records import PipelineRules, TopicPartition
from bridge.runtime.kafka_settings import consumer_settings
from bridge.runtime.messages import ChainMessages
from bridge.runtime.plan import LinkPlan, PipelinePlan, Plan
from bridge.settings.patterns import expand_names


class SharedTopic(LanebridgeError):
    """A topic is matched by the expressions of several pipelines."""


@dataclass(frozen=True, slots=True)
class MissingTopic:
    """A dead letter topic that does not exist, of these source topics; `command` creates it."""

    name: str
    sources: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        return (
            f"Kafka has no topic {self.name} for the dead letters of {', '.join(self.sources)}: a lane with a record "
            "that is given up waits until there is one"
        )


class Topics:
    """The topics of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kafka = consumer_settings(plan.settings)
        self._messages = {pipeline.rules.name: self._chain(pipeline.links) for pipeline in plan.pipelines}
        self._hook_messages = {
            pipeline.rules.name: self._chain(() if pipeline.on_failed is None else (pipeline.on_failed,))
            for pipeline in plan.pipelines
        }
        self._found: dict[str, PipelinePlan] = {}

    def _chain(self, links: tuple[LinkPlan, ...]) -> ChainMessages:
        settings = self._plan.settings
        return ChainMessages(self._plan.app, settings.group_id, links, settings.lane_queues)

    # --- by the name of a topic --------------------------------------------------------------------------------------

    def pipeline_of(self, topic: str) -> PipelinePlan:
        """The pipeline whose topics name it, or match it. Raises SharedTopic."""
        if (found := self._found.get(topic)) is None:
            found = self._found[topic] = self._find(topic)
        return found

    def _find(self, topic: str) -> PipelinePlan:
        found = [pipeline for pipeline in self._plan.pipelines if self._carries(pipeline, topic)]
        if not found:
            raise LanebridgeError(f"topic {topic} was assigned, but no pipeline names it")
        if len(found) > 1:
            names = " and ".join(f"{each.rules.name!r} (topics {', '.join(each.topics)})" for each in found)
            raise SharedTopic(
                f"Topic {topic} is matched by the pipelines {names}. "
                "Remedy: a topic belongs to one pipeline, make their expressions narrower."
            )
        return found[0]

    def rules_of(self, topic: str) -> PipelineRules:
        """What the core must know."""
        return self.pipeline_of(topic).rules

    def messages_of(self, topic: str) -> ChainMessages:
        """How its links are published."""
        return self._messages[self.pipeline_of(topic).rules.name]

    def hook_messages_of(self, topic: str) -> ChainMessages:
        """How the only link of a chain of its on_failed task is published."""
        return self._hook_messages[self.pipeline_of(topic).rules.name]

    def compression_of(self, topic: str) -> Compression:
        """How the payloads of its chains are compressed."""
        return self.pipeline_of(topic).compression

    def queue_of(self, tp: TopicPartition, lane: int, link: int) -> str:
        """The queue of a link; link 0 is the on_failed task."""
        if not link:
            return self.hook_messages_of(tp.topic).queue_of(tp, lane, 1)
        return self.messages_of(tp.topic).queue_of(tp, lane, link)

    def is_left_out(self, topic: str) -> bool:
        """Whether it is a dead letter topic of the bridge's own that is matched, but named nowhere."""
        return topic not in self.names and any(self._sends_letters_to(topic, each) for each in self._plan.pipelines)

    def _sends_letters_to(self, topic: str, pipeline: PipelinePlan) -> bool:
        """Whether the dead letters of one of the pipeline's topics go there."""
        if not writes_dead_letters(pipeline):
            return False
        source = _topic_in(pipeline.rules.dead_letter_topic, topic)
        return source is not None and (not source or self._carries(pipeline, source))

    def _carries(self, pipeline: PipelinePlan, topic: str) -> bool:
        return bool(expand_names(pipeline.topics, [topic], whole_name=self._kafka.is_next_generation))

    @property
    def names(self) -> list[str]:
        """What is subscribed to."""
        return [topic for pipeline in self._plan.pipelines for topic in pipeline.topics]

    # --- as they are now ---------------------------------------------------------------------------------------------

    def partitions(self, admin: Admin) -> list[TopicPartition]:
        """All partitions that are carried. Raises KafkaUnavailable."""
        return [tp for tp in admin.expand(self.names) if not self.is_left_out(tp.topic)]

    def check_shared(self, admin: Admin) -> None:
        """Raises SharedTopic when two pipelines match a topic that there is, KafkaUnavailable."""
        for topic in sorted({tp.topic for tp in self.partitions(admin)}):
            self.pipeline_of(topic)

    def left_out(self, admin: Admin) -> list[str]:
        """The dead letter topics that are matched and left alone. Raises KafkaUnavailable."""
        return sorted({tp.topic for tp in admin.expand(self.names) if self.is_left_out(tp.topic)})

    def missing_dead_letters(self, admin: Admin) -> list[MissingTopic]:
        """The dead letter topics that do not exist, of topics that there are. Raises KafkaUnavailable."""
        wanted: dict[str, dict[str, int]] = {}
        for pipeline in filter(writes_dead_letters, self._plan.pipelines):
            for tp in admin.expand(pipeline.topics):
                if not self.is_left_out(tp.topic):
                    counts = wanted.setdefault(pipeline.rules.dead_letters_of(tp.topic), {})
                    counts[tp.topic] = counts.get(tp.topic, 0) + 1
        return [
            MissingTopic(name, tuple(wanted[name]), create_command(self._kafka, name, max(wanted[name].values())))
            for name in admin.missing_topics(wanted)
        ]


def writes_dead_letters(pipeline: PipelinePlan) -> bool:
    """Whether a record that is given up may become a dead letter."""
    return pipeline.rules.on_exhausted == "dead_letter" or pipeline.on_failed is not None


def _topic_in(template: str, name: str) -> str | None:
    """The topic for which the template gives `name`; "" when the template has no {topic}, None when it gives none."""
    first, *others = (re.escape(part) for part in template.split("{topic}"))
    pattern = first if not others else f"{first}(.+){others[0]}" + "".join(rf"\1{part}" for part in others[1:])
    found = re.fullmatch(pattern, name)
    return None if found is None else (found[1] if others else "")
