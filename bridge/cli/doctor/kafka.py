"""Kafka: reachable, the topics there, the group with no strangers in it."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cli.doctor.findings import Finding, few, note, ok, problem, warning
from bridge.errors import ConfigurationError
from bridge.kafka.admin import Admin
from bridge.kafka.errors import KafkaUnavailable
from bridge.kafka.groups import GroupFacts, describe_group
from bridge.records import TopicPartition
from bridge.runtime.kafka_settings import consumer_settings
from bridge.runtime.plan import PipelinePlan, Plan
from bridge.runtime.topics import SharedTopic, Topics

#: seconds that one question may take
TIMEOUT = 5.0


class KafkaCheck:
    """The findings about Kafka. `partitions` are those of all topics, None as long as Kafka has not answered."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._topics = Topics(plan)
        self._settings = consumer_settings(plan.settings)
        self.partitions: dict[str, list[TopicPartition]] | None = None

    def look(self) -> list[Finding]:
        """Ask Kafka everything."""
        try:
            admin = Admin(self._settings, timeout=TIMEOUT)
        except ConfigurationError as error:
            return [problem(str(error), "correct the raw Kafka option")]
        found: list[Finding] = []
        try:
            found.extend(self._ask(admin))
        except KafkaUnavailable as error:
            text, _, remedy = str(error).partition("; ")
            remedy = remedy or "check that Kafka runs, and bootstrap_servers (BRIDGE_BOOTSTRAP_SERVERS)"
            found.append(problem(text, remedy))
        finally:
            admin.close()
        return found

    def _ask(self, admin: Admin) -> Iterator[Finding]:
        admin.check_broker(TIMEOUT)
        yield ok(f"reached at {self._plan.settings.bootstrap_servers}, login accepted")
        self.partitions = {}
        for pipeline in self._plan.pipelines:
            yield from self._topics_of(admin, pipeline)
        yield from self._shared(admin)
        yield from self._dead_letters(admin)
        yield from _group_findings(self._plan.settings.group_id, describe_group(self._settings, TIMEOUT))
        yield from self._lag(admin)

    def _topics_of(self, admin: Admin, pipeline: PipelinePlan) -> list[Finding]:
        assert self.partitions is not None
        name = pipeline.rules.name
        found: list[Finding] = []
        missing = admin.missing_topics(pipeline.topics)
        if missing and self._plan.settings.wait_for_topics:
            found.append(note(f"pipeline {name}: no topic {few(missing)} yet; the bridge waits (wait_for_topics=true)"))
        elif missing:
            tool = f"kafka-topics.sh --bootstrap-server {self._plan.settings.bootstrap_servers}"
            how = f"{tool} --create --topic {missing[0]} --partitions N, or set wait_for_topics=true"
            found.append(problem(f"pipeline {name}: Kafka has no topic {few(missing)}", how))
        expanded = admin.expand(pipeline.topics)
        self.partitions[name] = [tp for tp in expanded if not self._topics.is_left_out(tp.topic)]
        topics: dict[str, int] = {}
        for tp in self.partitions[name]:
            topics[tp.topic] = topics.get(tp.topic, 0) + 1
        if topics:
            listed = few([f"{topic} ({count} partitions)" for topic, count in topics.items()])
            found.append(ok(f"pipeline {name}: {listed}"))
        elif not missing:
            remedy = "create one, or correct the expression; topics that come later are taken up by themselves"
            found.append(warning(f"pipeline {name}: no topic matches {few(list(pipeline.topics))} yet", remedy))
        return found

    def _shared(self, admin: Admin) -> Iterator[Finding]:
        try:
            self._topics.check_shared(admin)
        except SharedTopic as error:
            text, _, remedy = str(error).partition(" Remedy: ")
            yield problem(text, remedy)

    def _dead_letters(self, admin: Admin) -> Iterator[Finding]:
        for missing in self._topics.missing_dead_letters(admin):
            yield warning(str(missing), f"create it: {missing.command}")
        if left_out := self._topics.left_out(admin):
            text = f"{few(left_out)}: not carried, an expression matches, but dead letters of this bridge go there"
            yield note(text, "name it in a pipeline if it is to be carried")

    def _lag(self, admin: Admin) -> list[Finding]:
        tps = [tp for some in (self.partitions or {}).values() for tp in some]
        if not tps:
            return []
        ends, committed = admin.ends(tps), admin.committed(tps)
        fresh = [tp for tp in tps if committed[tp] is None]
        lag = sum(max(0, ends[tp] - (offset or 0)) for tp in tps if (offset := committed[tp]) is not None)
        found = [note(f"{lag:,} records are not committed yet, in {len(tps) - len(fresh)} partitions with an offset")]
        if fresh:
            start = self._plan.settings.start_from
            names = few([str(tp) for tp in fresh])
            found.append(note(f"without a committed offset, start_from={start!r} decides: {names}"))
        return found


def _group_findings(group: str, facts: GroupFacts) -> list[Finding]:
    strangers = sorted({f"{member.client_id} at {member.host}" for member in facts.members if not member.is_ours})
    found: list[Finding] = []
    if facts.state == "dead":
        found.append(note(f"group {group} does not exist yet; the first bridge makes it"))
    elif not facts.members:
        found.append(note(f"group {group} is {facts.state}: no bridge runs", "start one: lanebridge run"))
    else:
        hosts = few([f"{m.client_id} ({len(m.partitions)} partitions)" for m in facts.members])
        count = f"{len(facts.members)} member{'' if len(facts.members) == 1 else 's'}"
        found.append(ok(f"group {group} is {facts.state} with {count}: {hosts}"))
    if strangers:
        remedy = "give the bridge a group of its own (group_id): they take partitions, and commit what is not finished"
        found.append(problem(f"group {group} has members that are no bridges: {few(strangers)}", remedy))
    return found
