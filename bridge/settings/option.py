"""One option, and the sentences about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from bridge.settings.kinds import Kind, Unfit
from bridge.settings.shown import shown

#: the longest value that an error repeats
_LONGEST = 200


class _Required:
    def __repr__(self) -> str:
        return "required"


#: the default of an option that has none
REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Option:
    """An option: what it may be, its default, an `example` for whoever got it wrong, and what it does.

    `default_text` is the default in words where its value says little. `secret`: the value may hold a password.
    `readers` are the processes that read it; when both do, both need the same value. The name comes from the table that
    the option stands in.
    """

    kind: Kind
    default: object
    text: str
    example: str
    unit: str = ""
    default_text: str = ""
    secret: bool = False
    readers: Literal["bridge", "workers", "both"] = "bridge"
    name: str = ""

    @property
    def is_required(self) -> bool:
        """It has no default."""
        return self.default is REQUIRED

    @property
    def wanted(self) -> str:
        """What fits, with the unit."""
        return f"{self.kind.wanted} ({self.unit})" if self.unit else self.kind.wanted

    @property
    def default_shown(self) -> str:
        """The default as a person reads it."""
        return self.default_text or shown(self.default)

    def shown(self, value: object) -> str:
        """A value of this option as it may be shown."""
        return self.default_shown if value == self.default else shown(value, secret=self.secret)

    def quoted(self, value: object) -> str:
        """A value as given, for an error."""
        text = repr(shown(value, secret=self.secret)) if isinstance(value, str) else _brief(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

    def read(self, value: object, given: str) -> object:
        """The value in the option's type. Raises Unfit with the whole sentence, which begins with `given`."""
        try:
            return self.kind.parse(value)
        except Unfit as unfit:
            reason = str(unfit) or f"{self.name} must be {self.wanted}. {self._remedy}"
            raise Unfit(f"{given}: {reason}") from None

    @property
    def _remedy(self) -> str:
        if self.is_required:
            return f"Set it to {self.example}, for example."
        default = f"({self.default_text})" if self.default_text else self.default_shown
        return f"Set it to {self.example}, for example, or leave it out for the default {default}."


def table(options: type) -> tuple[Option, ...]:
    """The options that stand in the annotations of a TypedDict, in its order."""
    found = []
    for name, hint in get_type_hints(options, include_extras=True).items():
        annotated = hint if get_origin(hint) is Annotated else get_args(hint)[0]
        option: Any = get_args(annotated)[1]
        found.append(replace(option, name=name))
    return tuple(found)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a sentence: "; did you mean X?" when something like it is known."""
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else "."


def _brief(value: object) -> str:
    """Containers and objects may hold secrets, or be long: their type says enough."""
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"<{type(value).__name__}>"
