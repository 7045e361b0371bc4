"""A value as it was given, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.settings.option import Option

Origin = Literal["command line", "environment", "code", "default"]


@dataclass(frozen=True, slots=True, repr=False)
class Given:
    """`label` is how the option was named: BRIDGE_X, --x, or x as an argument of `call`; `file` is where its text came
    from. A tuple holds the values of a flag that was repeated."""

    value: object
    origin: Origin
    label: str
    call: str = ""
    file: str = ""

    def described(self, option: Option) -> str:
        """The option and its value as given, for an error."""
        if isinstance(self.value, tuple):
            return self.label
        value = option.quoted(self.value)
        if self.file:
            return f"{self.label}={self.file!r}, which holds {value}"
        return f"{self.call}({self.label}={value})" if self.call else f"{self.label}={value}"
