"""The errors' root. One small class per cause, next to the code that raises it; the docstring of a class is its
default message. A message names what is wrong, the value, and the remedy.
"""

from inspect import cleandoc


class LanebridgeError(Exception):
    """Lanebridge cannot go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or cleandoc(type(self).__doc__ or type(self).__name__))


class ConfigurationError(LanebridgeError):
    """The configuration is not valid."""
