"""What the commands of operators print: pauses, requests and the audit list as JSON, the same fields everywhere."""

from __future__ import annotations

from typing import Any

import click
from msgspec import json, to_builtins

from bridge.instructions import AuditLine, Pause, Request


def fields_of(thing: Pause | Request | AuditLine) -> dict[str, Any]:
    """Its fields by name; a target as the command line takes it."""
    fields: dict[str, Any] = to_builtins(thing)
    return {**fields, "target": str(thing.target)}


def echo_json(document: dict[str, Any]) -> None:
    """On one line."""
    click.echo(json.encode(document))
