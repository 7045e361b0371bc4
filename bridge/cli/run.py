"""`lanebridge run`: one bridge process."""

from __future__ import annotations

import logging

import click

from bridge.cli.options import common_options, settings_options

logger = logging.getLogger(__name__)


@click.command(short_help="Run a bridge until it is told to stop.")
@common_options("info")
@click.option(
    "--until-idle",
    is_flag=True,
    help="End when everything that is in the topics at the start is finished and committed.",
)
@settings_options()
@click.pass_context
def run(context: click.Context, /, until_idle: bool, **given: object) -> None:
    """Run a bridge: carry the records of the app's pipelines into Celery, in order, until it is told to stop.

    SIGTERM and Ctrl-C end it in order: the last commit is waited for (--shutdown-timeout), batches in flight are left
    to the next owner, nothing is lost or done twice. A second signal ends it at once. Run as many as you like: bridges
    of one group share the partitions.

    A record that fails is tried again in its place while its lane waits; `lanebridge lanes` says which lanes wait, and
    why. Out of attempts, it alone goes to the pipeline's dead letter topic, {topic}.dlq, which must exist (`lanebridge
    doctor` prints the command that creates it, `lanebridge dlq` lists, shows and replays what is in it); on_exhausted
    and on_failed of a pipeline say otherwise.

    Every option below is also a variable BRIDGE_<NAME>, and an argument of Bridge(...); this command line wins over
    the environment, that over code. Passwords belong in the environment, or in a file that BRIDGE_<NAME>_FILE names:
    command lines are seen by others.

    \b
    Exit codes:
      0  clean, or with --until-idle: all done
      1  fatal error
      2  usage, or an option's value
      3  --until-idle ended with a stopped lane: a record was given up, and the policy is to stop
      4  --until-idle ended with a paused lane, and no stopped one

    \b
    Examples:
      lanebridge run
      lanebridge run -A myproject.celery --http 127.0.0.1:8080
      lanebridge run --until-idle --log-level warning
      celery -A tasks bridge run --kafka security.protocol=SASL_SSL
    """
    from bridge.cli.plans import make_plan, resolve_bridge
    from bridge.runtime.run import run as run_bridge

    bridge = resolve_bridge(context, given)
    for text in bridge.resolved.warnings:
        logger.warning("%s", text, extra={"action": "option"})
    context.exit(run_bridge(make_plan(bridge), until_idle=until_idle))
