# SPDX-License-Identifier: Apache-2.0
"""What may pass to MLflow and back: which requests only read, which headers stay here, where a redirect leads.

Paths are MLflow's own, without the prefix under which the gateway shows it.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

PREFIX = "/mlflow"
GRAPHQL = "/graphql"

# What MLflow's interface sends as POST although it only asks.
_ASKING = re.compile(
    r"/ajax-api/[234]\.0/mlflow/(?:"
    r"(?:[a-z-]+/)+search"
    r"|experiments/search-datasets"
    r"|traces/(?:batchGetInfos|metrics|calculate-filter-correlation)"
    r"|traces/[^/]+/batchGet"
    r"|registered-models/get-latest-versions"
    r")"
)
# MLflow runs commands on its own machine for callers of that machine; behind a gateway everybody seems to be one.
_LOCAL_ONLY = re.compile(r"/(?:ajax-)?api/[^/]+/mlflow/assistant")
_OWN_FILES = "/static-files/"
# Also where it is only a word in a text or a remark: whoever tells these apart can be misled, the word cannot be hidden.
_NOT_A_QUERY = re.compile(r"\b(?:mutation|subscription)\b")

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# The key of this house, and what a browser says of where it comes from: MLflow has its own rules for that, which
# would refuse the one and open itself to every page of the visitor's machine for the other.
_KEPT_IN = {"authorization", "cookie", "expect", "forwarded", "host", "origin", "referer"}
_KEPT_OUT = {"date", "server", "set-cookie"}


def offered(path: str) -> bool:
    """Return whether a path is passed on for anybody, however it is written."""
    return not _LOCAL_ONLY.match(posixpath.normpath(f"/{path.lstrip('/')}"))


def only_reads(method: str, path: str) -> bool:
    """Return whether a request changes nothing; of `/graphql` its body must say so, too."""
    if path == GRAPHQL:
        return method == "POST"
    return method in ("GET", "HEAD") or (method == "POST" and bool(_ASKING.fullmatch(path)))


def only_queries(body: bytes) -> bool:
    """Return whether a GraphQL request holds queries and nothing else."""
    try:
        asked = json.loads(body)
    except ValueError:
        return False
    text = asked.get("query") if isinstance(asked, dict) else None
    return isinstance(text, str) and not _NOT_A_QUERY.search(text)


def may_run(path: str) -> bool:
    """Return whether a browser may run what a path answers: the interface itself, nothing that somebody logged."""
    return path == "/" or path.startswith(_OWN_FILES)


def passed_in(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a caller that MLflow gets; names are in lower case."""
    given = list(headers)
    kept = _HOP_BY_HOP | _KEPT_IN | _named_by_connection(given)
    return [
        (name, value)
        for name, value in given
        if name not in kept and not name.startswith("x-forwarded-")
    ]


def passed_out(headers: Iterable[tuple[str, str]], upstream: str) -> list[tuple[str, str]]:
    """Return the headers of MLflow's answer that the caller gets; redirects stay under the prefix."""
    given = list(headers)
    kept = _HOP_BY_HOP | _KEPT_OUT | _named_by_connection(given)
    return [
        (name, _moved(value, upstream) if name == "location" else value)
        for name, value in given
        if name not in kept and not name.startswith("access-control-")
    ]


def same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a browser's request comes from a page of ours, or from the visitor directly."""
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        origin = headers.get("origin", "")
        return not origin or origin.partition("://")[2] == headers.get("host")
    # A link to us is fine; a page elsewhere that fetches is not. Another port of this machine counts as elsewhere.
    return headers.get("sec-fetch-mode") == "navigate" and "origin" not in headers


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    return {
        word.strip().lower()
        for name, value in headers
        if name == "connection"
        for word in value.split(",")
    }


def _moved(location: str, upstream: str) -> str:
    path = location.removeprefix(upstream)
    if path == location:
        path = location.removeprefix(urlsplit(upstream).path)
    elif path[:1] in ("", "?", "#"):
        path = f"/{path}"
    return f"{PREFIX}{path}" if path.startswith("/") and not path.startswith("//") else location
