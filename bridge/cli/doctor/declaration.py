"""What the app declares: each pipeline with its links, and everything that `run` would refuse."""

from __future__ import annotations

from bridge.app import Bridge
from bridge.cli.doctor.findings import Finding, ok, problem
from bridge.declare.pipeline import Pipeline
from bridge.errors import ConfigurationError
from bridge.runtime.plan import PipelinePlan, Plan
from bridge.settings import Misconfigured


def look_at_declaration(bridge: Bridge) -> list[Finding]:
    """Check it as `run` does."""
    found = [
        ok(
            f"{pipeline.name}: {' | '.join(link.task for link in pipeline.links)}, order by "
            f"{pipeline.rules.order_by}, given up: {_disposal(pipeline)}"
        )
        for pipeline in bridge.pipelines
    ]
    try:
        bridge.check()
    except Misconfigured as error:
        found += [_problem(text) for text in error.problems]
    except ConfigurationError as error:
        found.append(_problem(str(error)))
    return found


def _disposal(pipeline: Pipeline) -> str:
    """What becomes of records that are given up."""
    if pipeline.on_failed is not None:
        return f"{pipeline.on_failed.task} is asked"
    rules = pipeline.rules
    return f"to {rules.dead_letter_topic}" if rules.on_exhausted == "dead_letter" else rules.on_exhausted


def _problem(text: str) -> Finding:
    reason, _, remedy = text.partition(" Remedy: ")
    return problem(reason, remedy or "correct it in the code of the app")


def plan_as_declared(bridge: Bridge) -> Plan:
    """What would run if nothing were wrong with it: the other checks can go on."""
    pipelines = (PipelinePlan(each.rules, each.topics, each.links, each.on_failed) for each in bridge.pipelines)
    return Plan(bridge.app, bridge.settings, tuple(pipelines), bridge.ledger_url)
