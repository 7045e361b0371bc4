"""Who may look and who may act.

Looking needs what Flower's own pages need. Acting needs a login as Flower's own API does, a page of ours as its origin,
and a Flower that is not read-only. Against other sites: a header that only a script of the same origin can set (a
cross-site form cannot, a cross-site fetch asks first and is not answered), and what the browser says of the origin. A
cookie token would say less: cookies are shared by all ports of a host, and Flower itself does not check its own unless
OAuth is on. Without a login a name in the address bar may be one that somebody else has pointed at this machine (DNS
rebinding): then only addresses and `localhost` may act.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

#: only our own files, no inline script or style; bootstrap's icons are data: images
CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "font-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: set by the page's own script
ACT_HEADER = "X-Lanebridge-Act"

LOGIN_REMEDY = (
    "Acting needs a login: start Flower with --basic-auth=NAME:PASSWORD (FLOWER_BASIC_AUTH) or with OAuth (--auth). "
    "Where only trusted people reach it, FLOWER_UNAUTHENTICATED_API=true allows it without one."
)
READ_ONLY = "Flower runs with --read_only: nothing can be changed from here."


def has_login(options: Any) -> bool:
    """Whether Flower asks who somebody is."""
    return bool(options.basic_auth or options.auth)


def why_nobody_may_act(options: Any, *, unauthenticated_api: bool) -> str:
    """A sentence, "" when acting is possible for whoever is logged in."""
    if options.read_only:
        return READ_ONLY
    return "" if has_login(options) or unauthenticated_api else LOGIN_REMEDY


def why_foreign(headers: Mapping[str, str], host: str, *, logged_in: bool) -> str:
    """Why a request does not come from our page, "" when it does."""
    if headers.get(ACT_HEADER) != "1":
        return f"requests that act carry the header {ACT_HEADER}: 1"
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return "this request was made by another site"
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return f"this request was made by another site ({origin:.100})"
    if not logged_in and not _is_plain_address(host):
        return f"without a login, act by an address or localhost, not by the name {host:.100}: it may be anybody's"
    return ""


def _is_plain_address(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
