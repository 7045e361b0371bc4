"""What the environment says: BRIDGE_<NAME>, BRIDGE_<NAME>_FILE and BRIDGE_KAFKA_<NAME>.

Rules: an empty variable is an unset one, except where empty means something (BRIDGE_HTTP). A variable that ends in
_FILE names a file that holds the value; one line end at its end is not part of it. Unknown names are warnings: a
platform may set variables of its own that begin with BRIDGE_.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.settings.bridge_options import OPTIONS
from bridge.settings.given import Given
from bridge.settings.option import did_you_mean
from bridge.settings.raw_kafka import option_of

PREFIX = "BRIDGE_"

_KAFKA = f"{PREFIX}KAFKA_"
_FILE = "_FILE"
_NAMES = {f"{PREFIX}{option.name.upper()}": option.name for option in OPTIONS if option.name != "kafka"}
_EMPTY_MEANS_SOMETHING = frozenset({"BRIDGE_HTTP"})


@dataclass(slots=True)
class Environment:
    """What was found: options and raw Kafka options by name, what is wrong, what is only odd."""

    options: dict[str, Given] = field(default_factory=dict)
    kafka: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Read every variable that begins with BRIDGE_."""
    found = Environment()
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        text = environ[variable]
        if variable.startswith(_KAFKA) and variable != _KAFKA:
            if text:
                name, in_file = option_of(variable.removeprefix(_KAFKA))
                _take(found, found.kafka, name, variable, text, in_file)
        elif variable in _NAMES:
            if text or variable in _EMPTY_MEANS_SOMETHING:
                _take(found, found.options, _NAMES[variable], variable, text, False)
        elif variable.removesuffix(_FILE) in _NAMES:
            if text:
                _take(found, found.options, _NAMES[variable.removesuffix(_FILE)], variable, text, True)
        else:
            found.warnings.append(_unknown(variable))
    return found


def _take(found: Environment, into: dict[str, Given], name: str, variable: str, text: str, in_file: bool) -> None:
    if earlier := into.get(name):
        found.problems.append(f"{earlier.label} and {variable} are both set. Keep one of them.")
    elif not in_file:
        into[name] = Given(text, "environment", variable)
    else:
        try:
            value = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            found.problems.append(
                f"{variable}={text!r}: the file cannot be read ({reason}). "
                f"Mount the secret there, or set {variable.removesuffix(_FILE)} instead."
            )
        else:
            into[name] = Given(value.removesuffix("\n").removesuffix("\r"), "environment", variable, file=text)


def _unknown(variable: str) -> str:
    if variable == "BRIDGE_KAFKA":
        return "BRIDGE_KAFKA is not an option: BRIDGE_KAFKA_SASL_USERNAME sets sasl.username, and so on."
    known = [*_NAMES, *(f"{name}{_FILE}" for name in _NAMES)]
    return f"{variable} is not an option{did_you_mean(variable, known)}"
