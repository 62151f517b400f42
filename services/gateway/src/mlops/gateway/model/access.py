# SPDX-License-Identifier: Apache-2.0
"""Keys: who may enter; compared in constant time, so that answers do not betray how much of a guess was right.

What a token of some projects may ask for is listed here; everything else is for the installation's own.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from enum import Enum
from hashlib import sha256

_OF_PROJECTS = (
    "/v2",
    "/models/",
    "/api/v1/predict",
    "/api/v1/commands",
    "/api/v1/labels",
    "/api/v1/alerts",
    "/api/v1/data/",
    "/api/v1/events",
    "/api/v1/projects",
    "/api/v1/deployments",
    "/api/v1/workflows/",
    "/api/v1/overview",
    "/api/v1/explain/",
    "/api/v1/energy",
    "/api/v1/reports",
    "/reports",
    "/api/v1/query/serving/get",
    "/api/v1/query/versioning/",
    "/api/v1/query/gateway/comparison",
)
_OF_PAGE = {
    "POST": re.compile(r"/api/v1/alerts/(silences|[^/]+/acknowledge)"),
    "DELETE": re.compile(r"/api/v1/alerts/silences/[^/]+"),
}


def is_of_projects(path: str) -> bool:
    """Return whether a token of projects may ask for a path; what answers it looks at the project."""
    return path.startswith(_OF_PROJECTS)


def is_of_page(method: str, path: str) -> bool:
    """Return whether the page's cookie opens a request: reading, and what its buttons about alerts send."""
    wish = _OF_PAGE.get(method)
    return method in ("GET", "HEAD") or (wish is not None and wish.fullmatch(path) is not None)


class Entry(Enum):
    """What the caller showed; ELSEWHERE: a right key that a page of another site made a browser send."""

    OPEN = "open"
    NOTHING = "nothing"
    WRONG = "wrong"
    ELSEWHERE = "elsewhere"


def said_in(header: str) -> tuple[str, str]:
    """Return the scheme of an `Authorization` header, in lower case, and what is shown by it."""
    scheme, _, shown = header.partition(" ")
    return scheme.lower(), shown.strip()


class Keys:
    """The token, and the cookie made of it: a browser keeps the cookie, which opens what `is_of_page` says."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"mlops status page", sha256).hexdigest()
        # Signs the cookies of those who have a token of projects; a cookie is no token, and the other way round.
        self.visitors = hmac.new(self._token, b"mlops visitors of projects", sha256).hexdigest()

    def token(self, shown: str) -> Entry:
        """Judge a token."""
        if not shown:
            return Entry.NOTHING
        return Entry.OPEN if hmac.compare_digest(shown.encode(), self._token) else Entry.WRONG

    def bearer(self, header: str) -> Entry:
        """Judge an `Authorization` header."""
        scheme, shown = said_in(header)
        if not header:
            return Entry.NOTHING
        return self.token(shown) if scheme == "bearer" else Entry.WRONG

    def basic(self, header: str) -> Entry:
        """Judge an `Authorization` header, in which the token may also stand as the password of a user."""
        scheme, shown = said_in(header)
        if scheme != "basic":
            return self.bearer(header)
        try:
            pair = b64decode(shown, validate=True).decode()
        except (binascii.Error, ValueError):
            return Entry.WRONG
        return self.token(pair.partition(":")[2])

    def visitor(self, cookie: str) -> Entry:
        """Judge the cookie of the status page."""
        if not cookie:
            return Entry.NOTHING
        right = hmac.compare_digest(cookie.encode(), self.cookie.encode())
        return Entry.OPEN if right else Entry.WRONG
