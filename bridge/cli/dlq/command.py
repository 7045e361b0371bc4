"""The commands `dlq list`, `dlq show` and `dlq replay`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.cli.dlq import kinds
from bridge.cli.errors import Failed, Misused
from bridge.cli.options import app_option, common_options, settings_options

Command = TypeVar("Command", bound=Callable[..., Any])


def _where(command: Command) -> Command:
    """What says which topics of which cluster."""
    topic = click.option(
        "--topic",
        "topics",
        multiple=True,
        metavar="TOPIC",
        callback=kinds.topic_names,
        help="This dead letter topic (a name, or ^ and a regular expression); may be repeated.  [default: those of the "
        "app's pipelines]",
    )
    return app_option(topic(settings_options("bootstrap_servers", "group_id", "kafka")(command)))


@click.group("dlq", short_help="List, show and replay dead letters.")
@common_options("warning")
def dlq() -> None:
    """List, show and replay dead letters: records that were given up.

    A dead letter is the record, byte for byte, with headers that say which one it was and why it was given up. It is
    in the topic that the pipeline's dead_letter_topic names, {topic}.dlq by default. `list` and `show` change nothing.

    \b
    Examples:
      lanebridge dlq list
      lanebridge dlq show orders.dlq 0 17
      lanebridge dlq replay --exception TimeoutError --dry-run
      celery -A tasks bridge dlq replay --source-topic orders --since 2h
    """


@dlq.command("list", short_help="Count dead letters by topic, disposition and exception.")
@_where
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_letters(context: click.Context, /, topics: tuple[str, ...], as_json: bool, **given: object) -> None:
    """Count the dead letters by dead letter topic, source topic, disposition and exception, with their age.

    DISPOSITION says why the record was given up: exhausted (out of attempts, or an exception that is not tried again),
    rejected (by batch.fail), undecodable, timeout or worker_lost.

    It reads the topics from their beginning to their end. Dead letters that were replayed (REPLAYED) are still there,
    as long as the topic keeps them. STUBS were too large for the topic, carry only a part of their record and cannot be
    replayed.

    \b
    Examples:
      lanebridge dlq list
      lanebridge dlq list --topic orders.dlq --json
    """
    from bridge.cli.dlq import listing
    from bridge.cli.dlq.reading import all_letters, earlier_replays
    from bridge.cli.dlq.topics import cluster

    with cluster(context, topics, given) as found:
        tallies = listing.count(all_letters(found), earlier_replays(found))
        if as_json:
            click.echo(listing.as_json(tallies))
        else:
            listing.print_table(tallies, found)


@dlq.command("show", short_help="Show one dead letter: headers, key and value.")
@_where
@click.option(
    "--source",
    metavar="TOPIC/PARTITION/OFFSET",
    callback=kinds.place,
    help="The dead letters of this record, found by reading the dead letter topics.",
)
@click.argument("topic", required=False)
@click.argument("partition", type=click.IntRange(0), required=False)
@click.argument("offset", type=click.IntRange(0), required=False)
@click.pass_context
def show(
    context: click.Context,
    /,
    topics: tuple[str, ...],
    source: Any,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    **given: object,
) -> None:
    """Show one dead letter: all its headers, its key and value as JSON, text or hexadecimal, shortened.

    TOPIC, PARTITION and OFFSET are those of the dead letter; --source asks for the record that it was instead, which
    may have several. The bridge's log line `dead_letter` names that record, `lanebridge lanes` the one that a lane
    waits for.

    \b
    Examples:
      lanebridge dlq show orders.dlq 0 17
      lanebridge dlq show --source orders/3/1042
    """
    from bridge.cli.dlq.lookup import at_place, of_record
    from bridge.cli.dlq.showing import describe
    from bridge.cli.dlq.topics import cluster

    if (source is None) == (offset is None):
        raise Misused("Name one dead letter: TOPIC PARTITION OFFSET, or --source TOPIC/PARTITION/OFFSET")
    with cluster(context, (topic,) if topic else topics, given) as found:
        letters = of_record(found, *source) if source else at_place(found, topic, partition, offset)
        for index, letter in enumerate(letters):
            if index:
                click.echo()
            for line in describe(letter):
                click.echo(line)


@dlq.command("replay", short_help="Write dead letters back to the topics they came from.")
@_where
@click.option("--source-topic", "sources", multiple=True, metavar="TOPIC", help="Only records that were in this topic.")
@click.option(
    "--disposition",
    "dispositions",
    multiple=True,
    type=click.Choice(kinds.DISPOSITIONS),
    metavar="WORD",
    help=f"Only these: {', '.join(kinds.DISPOSITIONS)}; may be repeated, as the others.",
)
@click.option(
    "--exception", "exceptions", multiple=True, metavar="NAME", help="Only those given up for this exception."
)
@click.option("--since", metavar="TIME", callback=kinds.moment, help="Only dead letters written at or after this.")
@click.option("--until", metavar="TIME", callback=kinds.moment, help="Only dead letters written before this.")
@click.option(
    "--offsets",
    metavar="FIRST-LAST",
    callback=kinds.offset_range,
    help="Only dead letters at these offsets of their own topic, in each partition.",
)
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    type=click.IntRange(0),
    metavar="NUMBER",
    help="Only this partition of the dead letter topic.",
)
@click.option(
    "--max-replays",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="TIMES",
    help="Refuse records that were replayed as often.",
)
@click.option("--again", is_flag=True, help="Also what an earlier run has written back.")
@click.option("--dry-run", is_flag=True, help="Write nothing, only count.")
@click.pass_context
def replay(context: click.Context, /, **given: Any) -> None:
    """Write dead letters back to the topics and partitions that their records came from, in order.

    A record goes back byte for byte, at the end of its partition and with a new timestamp, without the headers that
    were added; the header lanebridge.replays counts how often. TIME is 2026-11-24T09:30 (local time), or how long ago:
    90s, 30m, 2h, 7d. Several filters must all match; one that is repeated matches any of its values.

    It is safe to interrupt and to run again. For each dead letter topic the consumer group
    GROUP.dlq-replay.TOPIC remembers from where to where a run has gone and with which filters. A dead letter that any
    earlier run has written back is left out, whatever the filters are now: replay a few to see whether they work, then
    all without filters. Each chunk of up to 200 is written, acknowledged by the broker and then remembered, so after a
    kill the next run writes at most that chunk again. Kafka forgets the group some time after its last commit
    (offsets.retention.minutes, 7 days by default). Delete the group to forget at once.
    (A group GROUP.dlq-replay.TOPIC.claims beside it keeps two runs apart.)

    --again writes also what was written before; after an interruption it begins anew, so name --offsets then. Of two
    replays of one topic at once the older one ends.

    \b
    Examples:
      lanebridge dlq replay --dry-run
      lanebridge dlq replay --exception OperationalError --since 2h
      lanebridge dlq replay --topic orders.dlq --partition 0 --offsets 100-199
    """
    from bridge.cli.dlq.replay import replay_all

    report = replay_all(context, given)
    if report.was_stopped:
        raise Failed("interrupted; what was written is remembered: run the same command again to go on")
