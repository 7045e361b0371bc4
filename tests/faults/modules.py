"""Every module with cells (`cells.py`, `*_cells.py`, `rows_*.py`), imported so that they register."""

from __future__ import annotations

import importlib
import pkgutil

import tests.faults as package

for _found in pkgutil.iter_modules(package.__path__):
    if _found.name.endswith("cells") or _found.name.startswith("rows_"):
        importlib.import_module(f"{package.__name__}.{_found.name}")
