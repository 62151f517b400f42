# SPDX-License-Identifier: Apache-2.0
"""Compressed recordings: unpacked within bounds, so that a small file cannot become a large memory."""

from __future__ import annotations

import gzip
import io
import zlib

from mlops.telemetry_agent.adapters.formats.document import LIMIT_BYTES, FormatError

NAME = "gzip"

_MAGIC = b"\x1f\x8b"


def unpacked(raw: bytes, most_bytes: int = LIMIT_BYTES) -> bytes:
    """Return the bytes, unpacked once if they are gzip; raises FormatError for damage, bombs and gzip within gzip."""
    if not raw.startswith(_MAGIC):
        return raw
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            found = file.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(NAME, f"damaged or cut short: {error}"[:200]) from error
    if len(found) > most_bytes:
        raise FormatError(NAME, f"it unpacks to more than {most_bytes} bytes")
    if found.startswith(_MAGIC):
        raise FormatError(NAME, "it holds another gzip; unpack it first")
    return found
