"""What the Lanes tab answers: the page, the stream, a lane, the last hour, dead letters, and what buttons send.

All derive from Flower's own handler, so that its login, prefix and read-only mode hold here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import redis
from flower.views import BaseHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, StaticFileHandler, authenticated

from bridge.errors import LanebridgeError
from bridge.ledger.operators import Operators
from bridge.ops.lanes_tab.acting import Act, Done, Refused, perform
from bridge.ops.lanes_tab.feed import Feed
from bridge.ops.lanes_tab.letters import Letters, ReplayWish
from bridge.ops.lanes_tab.rows import Row
from bridge.ops.lanes_tab.security import HEADERS, has_login, why_foreign, why_nobody_may_act
from bridge.ops.lanes_tab.series import STEP_S
from bridge.ops.lanes_tab.timeline import ChainEvents, timeline
from bridge.ops.state import Lane
from bridge.records import TopicPartition

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Tab:
    """What the handlers share. `show_values`: keys and values of dead letters may be shown."""

    group: str
    prefix: str
    feed: Feed
    operators: Operators
    letters: Letters
    show_values: bool
    blocking: ThreadPoolExecutor


class LaneDetail(msgspec.Struct, frozen=True):
    """An opened lane; `batches` are those of its partition."""

    lane: Lane
    row: Row
    batches: tuple[ChainEvents, ...]
    known: bool


class TabHandler(BaseHandler):
    """What all share: security headers instead of Flower's, errors as JSON."""

    def initialize(self, tab: Tab) -> None:
        """Called by tornado for each request."""
        self.tab = tab

    def set_default_headers(self) -> None:
        """Never Flower's open CORS headers: what we show and do is for our own page."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def check_xsrf_cookie(self) -> None:
        """What acts checks the origin itself, see `security`."""

    def answer(self, body: msgspec.Struct | dict[str, Any], status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A sentence; the log has the rest."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        text = (error.get_message() if isinstance(error, HTTPError) else None) or self._reason
        if status_code == 401 and self.application.options.basic_auth:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.answer({"error": text}, status_code)

    async def off_loop(self, work: Any, *args: Any) -> Any:
        """Run what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.tab.blocking, work, *args)

    @property
    def why_not_act(self) -> str:
        """Why nobody may act, "" somebody may."""
        return why_nobody_may_act(self.application.options, unauthenticated_api=self.unauthenticated_api)


class Page(TabHandler):
    """The page itself: everything on it comes by the stream."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    def get(self) -> None:
        """HTML without a word of data."""
        self.render(
            "lanes.html",
            tab_path=f"{self.tab.prefix}/lanes",
            task_path=f"{self.tab.prefix}/task",
            why_not_act=self.why_not_act,
            show_values=self.tab.show_values,
        )


class Stream(TabHandler):
    """Server-sent events: one a second."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    async def get(self) -> None:
        """Until the viewer goes."""
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        seen = 0
        try:
            while True:
                seen, message = await self.tab.feed.next(seen)
                self.write(b"data: " + message + b"\n\n")
                await self.flush()
        except StreamClosedError:
            return


class LanePage(TabHandler):
    """One lane."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    def get(self) -> None:
        """Its state and the last batches of its partition; null: no bridge has it now."""
        place = _place(self, "partition", "lane")
        found = self.tab.feed.lane(*place)
        if found is None:
            self.answer({"lane": None})
            return
        tasks = self.application.events.state.tasks
        batches = timeline(tasks, self.tab.group, TopicPartition(place[0], place[1]))
        self.answer(LaneDetail(*found, batches, bool(tasks)))


class Hour(TabHandler):
    """What the charts show."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    def get(self) -> None:
        """All points."""
        series = self.tab.feed.series
        self.answer({"since_ms": series.since_ms, "step_s": STEP_S, "points": list(series.points)})


class LetterKinds(TabHandler):
    """Dead letters by cause."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    async def get(self) -> None:
        """Reads the dead letter topics."""
        try:
            self.answer({"kinds": await self.off_loop(self.tab.letters.kinds)})
        except LanebridgeError as error:
            self.answer({"error": str(error)}, 503)


class LetterPreview(TabHandler):
    """One dead letter."""

    @authenticated  # type: ignore[untyped-decorator,unused-ignore]
    async def get(self) -> None:
        """By its own place."""
        place = _place(self, "partition", "offset")
        try:
            self.answer(await self.off_loop(lambda: self.tab.letters.show(*place, with_values=self.tab.show_values)))
        except LanebridgeError as error:
            self.answer({"error": str(error)}, 503)


class ActingHandler(TabHandler):
    """What changes something."""

    def prepare(self) -> None:
        """Before anything is read: may anybody act, and does our page ask?"""
        logged_in = has_login(self.application.options)
        if why := self.why_not_act:
            raise HTTPError(403 if self.application.options.read_only else 401, why)
        if why := why_foreign(self.request.headers, self.request.host, logged_in=logged_in):
            raise HTTPError(403, why)

    def asked(self, kind: type[Asked]) -> Asked:
        """What somebody who is logged in has sent. Raises HTTPError."""
        if not self.current_user:
            raise HTTPError(401, "log in first")
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except msgspec.DecodeError as error:
            raise HTTPError(400, str(error)) from None

    def who(self) -> str:
        """A name for the audit list: of the login, else the address."""
        if isinstance(self.current_user, str):
            return self.current_user
        if self.application.options.basic_auth:
            given = self.request.headers["Authorization"].split()[1]
            return b64decode(given).decode().partition(":")[0]
        return f"somebody at {self.request.remote_ip}"


class Actions(ActingHandler):
    """What the buttons of lanes send."""

    async def post(self) -> None:
        """Do it, in the name of who is logged in."""
        act = self.asked(Act)
        try:
            self.answer(await self.off_loop(self._perform, act))
        except Refused as error:
            self.answer({"error": str(error)}, 409)
        except redis.RedisError as error:
            self.answer({"error": f"not done, the ledger (Redis) does not answer: {error}"}, 503)

    def _perform(self, act: Act) -> Done:
        now_ms = int(time.time() * 1000)
        return perform(self.tab.operators, self.tab.feed.reading, act, who=self.who(), at_ms=now_ms)


class Replays(ActingHandler):
    """Dead letters go back."""

    async def post(self) -> None:
        """Do it, or say what it would do; the log names who did."""
        wish = self.asked(ReplayWish)
        who = self.who()
        done = await self.off_loop(self.tab.letters.replay, wish)
        if not wish.dry_run:
            said = " ".join((*done.lines, done.problem)).strip()
            logger.warning("%s replayed %s: %s", who, wish.topic, said, extra={"action": "replay"})
        self.answer(done)


class Files(StaticFileHandler):
    """Scripts and styles: asked for again each time, sent only when they have changed."""

    def set_extra_headers(self, path: str) -> None:
        """An update of the package must not meet yesterday's scripts."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")


def _place(page: TabHandler, *numbers: str) -> tuple[str, int, int]:
    """Topic and two numbers of the query."""
    topic = page.get_query_argument("topic")
    try:
        first, second = (int(page.get_query_argument(name)) for name in numbers)
    except ValueError:
        raise HTTPError(400, f"{' and '.join(numbers)} must be numbers") from None
    return topic, first, second
