# SPDX-License-Identifier: Apache-2.0
"""Unnamed: everything that a store holds, and what was begun on a remote and given up; who needs it is asked elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

Found = tuple[Any, str, int]

_ADDRESS = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
# A plain `dvc push` of one large object over a slow line takes days.
_UPLOAD_S = 7 * 86_400.0


def held(odb: Any, before: float) -> Iterator[Found]:
    """Yield the objects of a store in a folder that are from *before*; what is at no object's place is somebody else's."""
    for above, _, names in os.walk(odb.path):
        for name in names:
            oid = os.path.basename(above) + name
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(os.path.join(above, name))
                if _ADDRESS.fullmatch(oid) and found.st_mtime < before:
                    yield odb, oid, found.st_size


def give_up_uploads(odb: Any, before: float) -> None:
    """End uploads in parts to S3 that began a week before: nobody goes on with them, and their parts are paid for."""
    if odb.fs.protocol != "s3":
        return
    client = odb.fs.fs
    bucket, key, _ = client.split_path(odb.path)
    # A server that cannot tell, or a key that may not, leaves them to a rule of the bucket.
    with contextlib.suppress(ClientError, OSError, NotImplementedError):
        told = client.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/")
        for one in told.get("Uploads") or []:
            if one["Initiated"].timestamp() < before - _UPLOAD_S:
                where = {"Bucket": bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
                client.call_s3("abort_multipart_upload", **where)


def changed_at(about: dict[str, Any]) -> float:
    """Return when an object was written last; never, as far as a deletion goes, where its store does not say."""
    for name in ("mtime", "LastModified", "last_modified", "updated"):
        told = about.get(name)
        if isinstance(told, datetime):
            return told.timestamp()
        if isinstance(told, int | float):
            return float(told)
    return math.inf
