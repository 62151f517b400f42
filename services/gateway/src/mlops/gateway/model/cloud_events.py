# SPDX-License-Identifier: Apache-2.0
"""The three ways in which CloudEvents come over HTTP: structured, as a batch, and binary with `ce-` headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import unquote

_PREFIX = "ce-"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Mode(Enum):
    """How events stand in a request."""

    STRUCTURED = "structured"
    BATCH = "batch"
    BINARY = "binary"


_MODES = {
    "application/cloudevents+json": Mode.STRUCTURED,
    "application/cloudevents-batch+json": Mode.BATCH,
}


def mode_of(headers: Mapping[str, str]) -> Mode | None:
    """Return how a request brings its events, None when it brings none; names of headers are in lower case.

    Plain `application/json` without `ce-` headers is read as structured, for those who post with `curl`.
    """
    kind = media_type(headers)
    if kind in _MODES:
        return _MODES[kind]
    if kind.startswith("application/cloudevents"):
        return None  # a format that is not JSON
    if f"{_PREFIX}specversion" in headers:
        return Mode.BINARY
    return Mode.STRUCTURED if kind == "application/json" else None


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that stand in the `ce-` headers of a binary event.

    Raises ValueError, which names the header, for what is not percent-encoded UTF-8.
    """
    return {
        name.removeprefix(_PREFIX): _value(name, text)
        for name, text in headers.items()
        if name.startswith(_PREFIX)
    }


def _value(name: str, text: str) -> str:
    if not text.isascii():  # it was read as Latin-1; nobody knows what was meant
        raise ValueError(f"{name} holds letters that are not percent-encoded")
    quoted = _QUOTED.fullmatch(text)
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    try:
        return unquote(plain, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: {error}") from error
