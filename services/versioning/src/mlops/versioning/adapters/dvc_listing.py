# SPDX-License-Identifier: Apache-2.0
"""listed: what a folder's listing names, as DVC writes it; a listing may be of anybody who can write a remote."""

from __future__ import annotations

import json
import re

from mlops.chassis.errors import RejectedError

_ADDRESS = re.compile(r"[0-9a-f]{32}")


def listed(oid: str, read: bytes) -> dict[str, str]:
    """Return the addresses of a folder's files by their path in it.

    Raises RejectedError for a path that leaves the dataset, and for an address that would leave the cache.
    """
    found = {str(line["relpath"]): str(line["md5"]) for line in json.loads(read)}
    for rel, address in found.items():
        if rel.startswith("/") or (".." in rel and ".." in rel.split("/")):
            raise RejectedError(f"the listing {oid} names {rel!r}, which leaves the dataset")
        if not _ADDRESS.fullmatch(address):
            raise RejectedError(
                f"the listing {oid} names {address!r}, which is no content's address"
            )
    return found
