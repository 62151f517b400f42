# SPDX-License-Identifier: Apache-2.0
"""Places: where artifacts are, as MLflow writes it, and where that is below another root."""

from __future__ import annotations

from urllib.parse import unquote, urlparse

PROXIED = "mlflow-artifacts"


def is_folder(uri: str) -> bool:
    """Say whether artifacts are kept in a folder of this machine."""
    return urlparse(uri).scheme in ("", "file") or _is_drive(uri)


def folder_of(uri: str) -> str:
    """Return the path of a folder, however it is written."""
    parsed = urlparse(uri)
    return unquote(parsed.path) if parsed.scheme == "file" else uri


def below_root(uri: str) -> str | None:
    """Return the path of proxied artifacts below the server's root, None for others."""
    parsed = urlparse(uri)
    return unquote(parsed.path).strip("/") if parsed.scheme == PROXIED else None


def moved(uri: str, places: dict[str, str]) -> str:
    """Return a URI with the place it begins with replaced by where that is now; the longest that fits counts."""
    for old in sorted(places, key=len, reverse=True):
        if uri == old or uri.startswith(old.rstrip("/") + "/"):
            return places[old].rstrip("/") + uri[len(old.rstrip("/")) :]
    return uri


def _is_drive(uri: str) -> bool:
    return len(uri) > 1 and uri[1] == ":"
