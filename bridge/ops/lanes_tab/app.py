"""Flower with the Lanes tab: the same application with a few handlers more, and one more entry in its navigation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flower
from flower.app import Flower
from tornado.template import Loader, Template
from tornado.web import url

from bridge.ledger.connect import connect
from bridge.ledger.operators import Operators
from bridge.ops.lanes_tab import handlers
from bridge.ops.lanes_tab.feed import Feed
from bridge.ops.lanes_tab.handlers import Tab
from bridge.ops.lanes_tab.letters import Letters
from bridge.ops.lanes_tab.reading import Source

HERE = Path(__file__).parent
_FLOWERS = Path(flower.__file__).parent / "templates"

#: the end of the list of Flower's own tabs
_END_OF_TABS = "</ul>"

_ENTRY = """  <li class="nav-item">
          <a class="nav-link{% if active_tab == 'lanes' %} active{% end %}"
            href="{{ reverse_url('lanes') }}"
            {% if active_tab == 'lanes' %}aria-current="page"{% end %}>Lanes</a>
        </li>
      """


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the tab shows: the group, where its ledger is, and whether keys and values of dead letters may be shown."""

    group: str
    ledger_url: str
    letters: Letters
    show_values: bool = False


class Templates(Loader):
    """Our templates, else Flower's; its navigation gets one more tab, whatever else is in it."""

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """All names are plain file names."""
        return name

    def _create_template(self, name: str) -> Template:
        path = HERE / "templates" / name
        text = (path if path.is_file() else _FLOWERS / name).read_text()
        if name == "navbar.html":
            text = text.replace(_END_OF_TABS, _ENTRY + _END_OF_TABS, 1)
        return Template(text, name=name, loader=self)


class LanesFlower(Flower):
    """Flower with one tab more."""

    def __init__(self, *args: Any, wish: Wish, **settings: Any) -> None:
        super().__init__(*args, **settings, template_loader=Templates(str(_FLOWERS)))
        client = connect(wish.ledger_url)
        self.feed = Feed(wish.group, Source(client, wish.group).read)
        prefix = f"/{self.options.url_prefix.strip('/')}" if self.options.url_prefix else ""
        tab = Tab(
            group=wish.group,
            prefix=prefix,
            feed=self.feed,
            operators=Operators(client, wish.group),
            letters=wish.letters,
            show_values=wish.show_values,
            blocking=ThreadPoolExecutor(2, "lanes-tab"),
        )
        self.add_handlers(r".*", _routes(tab))

    def start(self) -> None:
        """As Flower, with the loop that reads the lanes."""
        self.io_loop.add_callback(self.feed.run)
        super().start()


def _routes(tab: Tab) -> list[Any]:
    base, given = f"{tab.prefix}/lanes", {"tab": tab}
    return [
        url(base, handlers.Page, given, name="lanes"),
        (f"{base}/api/stream", handlers.Stream, given),
        (f"{base}/api/lane", handlers.LanePage, given),
        (f"{base}/api/hour", handlers.Hour, given),
        (f"{base}/api/letters", handlers.LetterKinds, given),
        (f"{base}/api/letter", handlers.LetterPreview, given),
        (f"{base}/api/act", handlers.Actions, given),
        (f"{base}/api/replay", handlers.Replays, given),
        (f"{base}/static/(.*)", handlers.Files, {"path": str(HERE / "static")}),
    ]
