"""What is wrong with options and pipelines, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import ConfigurationError


class Misconfigured(ConfigurationError):
    """The configuration is not valid. `problems` has one text for each: what was given, its value, the remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_listed(self.problems))


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} things are wrong:", *(f"- {text}" for text in problems)])
