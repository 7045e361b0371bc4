"""Every option once: name, type, default, unit and text. Feeds the constructor, the environment, the command line's
help and the tables in docs/options.md.

Rules: an error names the option as it was given, its value and the remedy, and all of them are reported together;
secrets are never shown.
"""

from bridge.settings.bridge_options import OPTIONS, BridgeOptions, Settings
from bridge.settings.flags import Flag, cli_options
from bridge.settings.misconfigured import Misconfigured
from bridge.settings.option import Option
from bridge.settings.pipeline_options import PIPELINE_OPTIONS, TOPICS, PipelineOptions
from bridge.settings.raw_kafka import OWNED_KAFKA_OPTIONS, SECRET_KAFKA_OPTIONS, is_secret_kafka_option
from bridge.settings.redis_urls import ledger_url_of_broker
from bridge.settings.resolve import Resolved, check_code, resolve
from bridge.settings.shown import HIDDEN, shown
from bridge.settings.table import options_table, owned_kafka_table, pipeline_options_table

__all__ = [
    "HIDDEN",
    "OPTIONS",
    "OWNED_KAFKA_OPTIONS",
    "PIPELINE_OPTIONS",
    "SECRET_KAFKA_OPTIONS",
    "TOPICS",
    "BridgeOptions",
    "Flag",
    "Misconfigured",
    "Option",
    "PipelineOptions",
    "Resolved",
    "Settings",
    "check_code",
    "cli_options",
    "is_secret_kafka_option",
    "ledger_url_of_broker",
    "options_table",
    "owned_kafka_table",
    "pipeline_options_table",
    "resolve",
    "shown",
]
