"""What the tests of declarations share."""

from __future__ import annotations

import os

import pytest

from bridge import Bridge
from tests.app.apps import Shop


@pytest.fixture(autouse=True)
def no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no variables of whoever runs them."""
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "CELERY_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def shop() -> Shop:
    """A Celery app with tasks of every sort."""
    return Shop()


@pytest.fixture
def bridge(shop: Shop) -> Bridge:
    """Its bridge, without pipelines."""
    return Bridge(shop.app, group_id="orders")
