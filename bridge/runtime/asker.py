"""Asks Kafka for what an assignment needs to know, off the loop: committed offsets, topic ids, ends of the logs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bridge.core.effects import AskKafka
from bridge.core.events import EffectFailed, KafkaAnswered, TopicsSeen
from bridge.kafka.admin import Admin, KafkaFacts
from bridge.kafka.errors import KafkaUnavailable
from bridge.records import TopicPartition
from bridge.runtime.mail import Post

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AskEnds:
    """Where the logs of these partitions end, for the lag that views show; and whether their topics are still the same
    ones."""

    partitions: tuple[TopicPartition, ...]


class Asker:
    """The work of the asker's thread."""

    def __init__(self, admin: Admin, post: Post) -> None:
        self._admin = admin
        self._post = post
        #: the ends of the logs as far as known
        self.ends: dict[TopicPartition, int] = {}

    def work(self, items: list[AskKafka | AskEnds]) -> None:
        """Answer all questions of a kind with one round of requests."""
        if questions := [item for item in items if isinstance(item, AskKafka)]:
            self._ask(questions)
        if ends := [item for item in items if isinstance(item, AskEnds)]:
            self._ask_ends(ends[-1])

    def _ask_ends(self, item: AskEnds) -> None:
        self._post(TopicsSeen(self._admin.topic_ids({tp.topic for tp in item.partitions})))
        try:
            self.ends = {**self.ends, **self._admin.ends(list(item.partitions))}
        except KafkaUnavailable as error:
            logger.debug("the ends of the logs are not known: %s", error, extra={"action": "ends"})

    def _ask(self, effects: list[AskKafka]) -> None:
        answers = self._admin.facts(list({effect.tp for effect in effects}))
        for effect in effects:
            answer = answers[effect.tp]
            if isinstance(answer, KafkaFacts):
                self._post(
                    KafkaAnswered(
                        effect.tp,
                        effect.serial,
                        committed=answer.committed,
                        metadata=answer.metadata,
                        topic_id=answer.topic_id,
                        log_start=answer.log_start,
                        log_end=answer.log_end,
                    )
                )
            else:
                self._post(EffectFailed(effect, str(answer)))
