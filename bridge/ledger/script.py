"""The Lua scripts: one file per step, each behind the common part; sent by their hash, loaded when the server does not
know them. Rule: whatever goes in one round trip with a script may be sent again as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import NoScriptError

_DIRECTORY = Path(__file__).parent / "scripts"
_COMMON = "_common.lua"

#: one command as redis-py's `execute_command` takes it
Command = tuple[Any, ...]


class Script:
    """One step, or another piece that must be atomic."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (_DIRECTORY / _COMMON).read_text("utf-8") + (_DIRECTORY / f"{name}.lua").read_text("utf-8")
        self._sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        _known.append(self)

    def command(self, keys: Sequence[str], args: Sequence[Any]) -> Command:
        """The command that runs the script."""
        return ("EVALSHA", self._sha, len(keys), *keys, *args)


_known: list[Script] = []


def run(client: redis.Redis, command: Command) -> Any:
    """Run one script and give its answer. Raises redis' errors unchanged."""
    execute: Callable[..., Any] = client.execute_command
    try:
        return execute(*command)
    except NoScriptError:
        _load(client)
        return execute(*command)


def run_all(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Run scripts and other commands in one round trip. Errors that the server answered stand in the list; raises
    those of the connection."""
    answers = _send(client, commands)
    if any(isinstance(answer, NoScriptError) for answer in answers):
        _load(client)
        answers = _send(client, commands)
    return answers


def _send(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    with client.pipeline(transaction=False) as pipeline:
        add: Callable[..., Any] = pipeline.execute_command
        for command in commands:
            add(*command)
        return pipeline.execute(raise_on_error=False)


def _load(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for script in _known:
            pipeline.script_load(script.text)
        pipeline.execute()
