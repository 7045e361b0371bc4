"""From the app and the command line to what a bridge runs.

What is wrong with an option's value is a usage error (2); what is wrong with the declaration, its pipelines and
tasks, is a fatal one (1).
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from bridge.app import Bridge, bridge_of
from bridge.cli import logs
from bridge.cli.apps import app_of
from bridge.cli.errors import Failed
from bridge.cli.options import given_log_format
from bridge.errors import ConfigurationError
from bridge.runtime.plan import Plan


def resolve_bridge(context: click.Context, given: Mapping[str, object]) -> Bridge:
    """The bridge of this command's app, with the options of the command line. Raises ConfigurationError."""
    bridge = bridge_of(app_of(context))
    bridge.override({**given, "log_format": given_log_format(context)})
    logs.change_format(bridge.settings.log_format)
    _ = bridge.ledger_url
    return bridge


def make_plan(bridge: Bridge) -> Plan:
    """What to run. Raises Failed when the declaration has a fault."""
    try:
        return bridge.plan()
    except ConfigurationError as error:
        raise Failed(str(error)) from error
