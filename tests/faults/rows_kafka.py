"""Rows of the matrix."""

from __future__ import annotations
