"""The options as flags of a command line, as data: the command line builds its own kind of option from them."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings.bridge_options import OPTIONS
from bridge.settings.kinds import Choice, RawOptions, Switch
from bridge.settings.option import Option


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `option` is the name under which its value goes to `resolve`: a text, None when it was not given, a
    bool for a switch, a tuple of texts `name=value` for one that may be `repeated`."""

    option: str
    declaration: str
    metavar: str
    help: str
    is_switch: bool = False
    repeated: bool = False


def cli_options() -> tuple[Flag, ...]:
    """A flag for each option that a bridge reads."""
    return tuple(_flag(option) for option in OPTIONS if option.readers != "workers")


def _flag(option: Option) -> Flag:
    flag = f"--{option.name.replace('_', '-')}"
    agreement = " The workers need the same value." if option.readers == "both" else ""
    text = f"{option.text}{agreement}  [{_default(option)}]"
    if isinstance(option.kind, Switch):
        return Flag(option.name, f"{flag}/--no-{flag[2:]}", "", text, is_switch=True)
    if isinstance(option.kind, RawOptions):
        return Flag(option.name, flag, "NAME=VALUE", text, repeated=True)
    if isinstance(option.kind, Choice):
        return Flag(option.name, flag, f"[{'|'.join(option.kind.choices)}]", text)
    return Flag(option.name, flag, option.unit.upper() or "VALUE", text)


def _default(option: Option) -> str:
    return "required" if option.is_required else f"default: {option.default_shown}"
