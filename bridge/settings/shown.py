"""Values as they may be shown: without the passwords in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.settings.raw_kafka import is_secret_kafka_option

HIDDEN = "***"

#: up to the last @ before a blank: a password may hold any character, and too much hidden beats too little
_USER_AND_PASSWORD = re.compile(r"(?<=://)([^\s:@/]*):\S*@")
_SECRET_PARAMETER = re.compile(r"(?<=[?&])([^=&\s]*(?:password|secret|token)[^=&\s]*)=[^&\s]*", re.IGNORECASE)


def shown(value: object, *, secret: bool = False) -> str:
    """`value` as text: passwords of URLs and values of secret Kafka options are hidden.

    `secret`: the value is one that may hold a password; text before an @ is hidden even without a URL around it.
    """
    if isinstance(value, Mapping):
        return repr(
            {name: HIDDEN if is_secret_kafka_option(str(name)) else _plain(each) for name, each in value.items()}
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    if secret and "@" in text and "://" not in text:
        return f"{HIDDEN}@{text.rpartition('@')[2]}"
    return without_passwords(text)


def without_passwords(text: str) -> str:
    """`text` without the passwords of the URLs in it."""
    return _SECRET_PARAMETER.sub(rf"\1={HIDDEN}", _USER_AND_PASSWORD.sub(rf"\1:{HIDDEN}@", text))


def _plain(value: object) -> object:
    return without_passwords(value) if isinstance(value, str) else value
