"""What the pictures of these pages have in common: they bring their own background and look at the reader's colour
scheme, so that they are readable on light and dark pages."""

from __future__ import annotations

from html import escape

#: for every picture: the page, and words of several weights
LIGHT = """
  .page { fill: #ffffff; }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .soft { fill: #59636e; }
  .small { font-size: 12px; }
  .name { font-weight: 600; }"""
DARK = """
    .page { fill: #0d1117; }
    text { fill: #f0f6fc; }
    .soft { fill: #9fa9b5; }"""


def style(light: str, dark: str) -> str:
    """The style sheet of a picture with rules of its own."""
    return f"<style>{LIGHT}{light}\n  @media (prefers-color-scheme: dark) {{{DARK}{dark}\n  }}\n</style>"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:g}" y="{y:g}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(words)}</text>'
