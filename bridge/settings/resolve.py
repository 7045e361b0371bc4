"""From what was given to settings: the command line wins over the environment, that over code, that over defaults.

Only the value that wins is read. All problems are found before any is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.settings.bridge_options import OPTIONS, Settings
from bridge.settings.environment import PREFIX, read_environment
from bridge.settings.given import Given, Origin
from bridge.settings.kinds import Unfit
from bridge.settings.misconfigured import Misconfigured
from bridge.settings.option import Option, did_you_mean
from bridge.settings.raw_kafka import OWNED_KAFKA_OPTIONS, is_secret_kafka_option
from bridge.settings.shown import HIDDEN, shown

_BY_NAME = {option.name: option for option in OPTIONS}
_CALL = "Bridge"

_PAIRS = (
    ("session_timeout", "heartbeat_interval", "Kafka would give the partitions away between two signs of life"),
    ("worker_timeout", "worker_heartbeat", "every worker would count as dead between two heartbeats"),
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings, where each value comes from (`kafka.<name>` for each raw option), and what is odd about the
    environment without being wrong."""

    settings: Settings
    origin: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()

    def rows(self) -> tuple[tuple[str, str, Origin], ...]:
        """Name, value as it may be shown, and origin of every option; a raw Kafka option has a row of its own."""
        raw = self.settings.kafka
        plain = [
            (option.name, option.shown(getattr(self.settings, option.name)), self.origin[option.name])
            for option in OPTIONS
            if option.name != "kafka" or not raw
        ]
        names = [(name, f"kafka.{name}") for name in raw]
        return (
            *plain,
            *(
                (row, HIDDEN if is_secret_kafka_option(name) else shown(raw[name]), self.origin[row])
                for name, row in names
            ),
        )


@dataclass(slots=True)
class _Reading:
    """Values, origins and problems as they are found."""

    values: dict[str, Any] = field(default_factory=dict)
    kafka: dict[str, object] = field(default_factory=dict)
    origin: dict[str, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, option: Option, given: Given | None) -> None:
        """Read the value that wins, or take the default."""
        if given is not None:
            self.origin[option.name] = given.origin
            try:
                self.values[option.name] = option.read(given.value, given.described(option))
            except Unfit as unfit:
                self.problems.append(str(unfit))
        elif option.is_required:
            self.problems.append(_missing(option))
        else:
            self.values[option.name], self.origin[option.name] = option.default, "default"

    def take_kafka(self, options: Mapping[str, Given]) -> None:
        """Read the raw options that win."""
        self.values["kafka"] = self.kafka
        for name, given in options.items():
            self.origin[f"kafka.{name}"] = self.origin["kafka"] = given.origin
            self.kafka[name] = given.value
            label = f"{given.call}({given.label})" if given.call else given.label
            if reason := OWNED_KAFKA_OPTIONS.get(name):
                self.problems.append(f"{label}: {name} belongs to the bridge. Remove it: {reason}.")
            elif given.value is None:
                self.problems.append(f"{label}: {name} has no value (None). Give it one, or leave it out.")

    def look_at_pairs(self) -> None:
        """What fits alone may not fit together."""
        for longer, shorter, why in _PAIRS:
            long, short = self.values[longer], self.values[shorter]
            if long <= short:
                self.problems.append(
                    f"{longer}={long:g} must be longer than {shorter}={short:g} (seconds): {why}. "
                    f"Set {longer} to three times {shorter} or more."
                )


def resolve(command_line: Mapping[str, object], code: Mapping[str, object], environ: Mapping[str, str]) -> Resolved:
    """The settings from values by option name. Raises Misconfigured with everything that is wrong."""
    environment = read_environment(environ)
    reading = _Reading(problems=list(environment.problems))
    flags, flags_kafka = _from_mapping(command_line, "command line", reading)
    arguments, arguments_kafka = _from_mapping(code, "code", reading)
    given = {**arguments, **environment.options, **flags}
    for option in OPTIONS:
        reading.take(option, given.get(option.name))
    reading.take_kafka({**arguments_kafka, **environment.kafka, **flags_kafka})
    if not reading.problems:
        reading.look_at_pairs()
    if reading.problems:
        raise Misconfigured(reading.problems)
    return Resolved(Settings(**reading.values), reading.origin, tuple(environment.warnings))


def check_code(code: Mapping[str, object]) -> None:
    """Refuse arguments of `Bridge` that are wrong whatever the environment says. Raises Misconfigured."""
    reading = _Reading()
    given, kafka = _from_mapping(code, "code", reading)
    for name, value in given.items():
        reading.take(_BY_NAME[name], value)
    reading.take_kafka(kafka)
    if reading.problems:
        raise Misconfigured(reading.problems)


def _from_mapping(
    values: Mapping[str, object], origin: Origin, reading: _Reading
) -> tuple[dict[str, Given], dict[str, Given]]:
    """Flags or arguments, and the raw Kafka options in them. None, and an empty tuple, is not given."""
    given = dict[str, Given]()
    for name, value in values.items():
        if name not in _BY_NAME:
            known = did_you_mean(name, list(_BY_NAME))
            reading.problems.append(f"{_CALL}({name}=...): there is no option {name}{known}")
        elif value is not None and value != ():
            label, call = (f"--{name.replace('_', '-')}", "") if origin == "command line" else (name, _CALL)
            given[name] = Given(value, origin, label, call)
    raw = given.pop("kafka", None)
    return given, _raw_options(raw, reading) if raw else {}


def _raw_options(raw: Given, reading: _Reading) -> dict[str, Given]:
    option = _BY_NAME["kafka"]
    try:
        options: Any = option.read(raw.value, raw.described(option))
    except Unfit as unfit:
        reading.problems.append(str(unfit))
        return {}
    return {
        name: Given(
            value, raw.origin, f"{raw.label}={{{name!r}: ...}}" if raw.call else f"{raw.label} {name}", raw.call
        )
        for name, value in options.items()
    }


def _missing(option: Option) -> str:
    variable = f"{PREFIX}{option.name.upper()}"
    code = f'{_CALL}(app, {option.name}="{option.example}")'
    return f"{option.name} is missing: set {variable}={option.example}, or write {code}."
