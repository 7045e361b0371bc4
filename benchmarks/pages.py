"""Parts of a page that are written from figures: what stands between `<!-- figures: NAME -->` and the next
`<!-- end -->` is replaced, all else is left as people wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_PART = re.compile(r"(<!-- figures: ([^>]*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def renewed(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The page with its parts made anew. Raises ValueError when one is unknown, missing, there twice or without end."""
    named = re.findall(r"<!-- figures: ([^>]*?) -->", page)
    if sorted(named) != sorted(parts):
        raise ValueError(f"the page has the parts {sorted(named)}, there are figures for {sorted(parts)}")
    if len(_PART.findall(page)) != len(named) or page.count("<!-- end -->") != len(named):
        raise ValueError("each part of the page must end with <!-- end -->")
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]()}\n\n{found[4]}", page)
