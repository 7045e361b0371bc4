"""Celery apps with tasks of every sort, made anew for each test."""

from __future__ import annotations

from typing import Any

from celery import Celery

from bridge import BatchTask, RecordTask


class Shop:
    """An app with a RecordTask `parse`, BatchTasks `store` and `report`, and a plain task `plain`."""

    def __init__(self, **conf: Any) -> None:
        self.app = Celery("shop", broker="redis://:hunter2@localhost:6379/0", set_as_current=False)
        self.app.conf.update(conf)

        @self.app.task(base=RecordTask, shared=False, name="shop.parse")
        def parse(record: Any) -> None: ...

        @self.app.task(base=BatchTask, shared=False, name="shop.store")
        def store(batch: Any, table: str = "orders", *, schema: str = "public") -> None: ...

        @self.app.task(base=BatchTask, shared=False, name="shop.report", bind=True)
        def report(self: Any, batch: Any) -> None: ...

        @self.app.task(name="shop.plain", shared=False)
        def plain(order: Any) -> None: ...

        self.parse, self.store, self.report, self.plain = parse, store, report, plain
