# SPDX-License-Identifier: Apache-2.0
"""The child process that reads reports from object storage: clients of storage cost memory that the service does not keep."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import fsspec

from mlops.chassis.sidecar import serve
from mlops.monitoring.adapters.report_store import aware


def pages(root: str, folders: Sequence[str]) -> list[tuple[str, int, float]]:
    """Return path, size and time (seconds of the epoch) of the pages below some folders, or all for none."""
    files, base = fsspec.url_to_fs(root)
    files.invalidate_cache()  # others write there, too
    found = []
    for folder in folders or ("",):
        for path, told in files.find(f"{base}/{folder}".rstrip("/"), detail=True).items():
            if path.endswith(".html"):
                name = path.removeprefix(base).lstrip("/")
                found.append((name, int(told["size"]), _written_at(files, path, told)))
    return found


def piece(address: str, offset: int, most: int) -> dict[str, Any] | None:
    """Return *most* bytes of a file from *offset* on, with its size and time; None where it is not there."""
    files, path = fsspec.url_to_fs(address)
    files.invalidate_cache()
    try:
        told = files.info(path)
        if told["type"] != "file":
            return None
        at = _written_at(files, path, told)
        content = _whole(address, at, int(told["size"]))
    except FileNotFoundError:
        return None
    part = content[offset : offset + most]
    return {"content": b64encode(part).decode(), "size": len(content), "at": at}


@lru_cache(maxsize=2)
def _whole(address: str, at: float, size: int) -> bytes:  # noqa: ARG001 - what is written later is another file
    # Not piece by piece: some stores send the checksum of the whole with a part, and the client then finds the part broken.
    files, path = fsspec.url_to_fs(address)
    content: bytes = files.cat_file(path)
    return content


def _written_at(files: Any, path: str, told: dict[str, Any]) -> float:
    at = told.get("LastModified") or told.get("mtime") or files.modified(path)
    return float(at) if isinstance(at, int | float) else float(aware(at).timestamp())


if __name__ == "__main__":
    serve({"pages": pages, "piece": piece})
