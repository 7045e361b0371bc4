"""Revokes links that were superseded, in a thread of its own: Celery's remote control tries again for as long as the
broker is away, and the ledger's steps must not wait for it. Nobody waits for an answer."""

from __future__ import annotations

import logging
from typing import Any

from bridge.core.effects import TerminateLinks
from bridge.runtime.publisher import PUBLISH_ERRORS

logger = logging.getLogger(__name__)


class Revoker:
    """The work of the revoker's thread."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def work(self, items: list[TerminateLinks]) -> None:
        """Ask all workers to kill what runs these links."""
        links = [link for item in items for link in item.links]
        try:
            self._app.control.revoke(links, terminate=True, signal="SIGKILL")
        except PUBLISH_ERRORS as error:
            logger.warning("could not revoke %s: %s", ", ".join(links), error, extra={"action": "revoke"})
