# SPDX-License-Identifier: Apache-2.0
"""`[data]` of `mlops.toml`: a project's datasets, and where and how their versions are kept."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from mlops.contracts.message import Part

# `s3://key:secret@bucket`, also where the secret holds a `/`; `azure://c?sig=…`. A user's name alone (`ssh://me@host/data`) is none.
_CREDENTIALS = re.compile(r"://([^@?]*:[^@]*@|[^?]*\?)")
_RATE_PATTERN = r"^(|[0-9]{1,6}(\.[0-9]{1,3})? ?[kKMG](B|bit)/s)$"
_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([kKMG])(B|bit)/s")
_THOUSANDS = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
# Below it a request would last longer than servers wait for one.
_LEAST_BYTES_PER_S = 10_000


def bytes_per_s(bandwidth: str) -> int | None:
    """Read `"20MB/s"` or `"100Mbit/s"` as bytes (powers of ten) in a second; None for an empty one: no limit."""
    if not bandwidth:
        return None
    found = _RATE.fullmatch(bandwidth)
    rate = 0
    if found:
        bits = 8 if found[3] == "bit" else 1
        rate = int(float(found[1]) * _THOUSANDS[found[2]] / bits)
    if rate < _LEAST_BYTES_PER_S:
        raise ValueError('must be a rate such as "20MB/s" or "100Mbit/s", at least "10kB/s"')
    return rate


class DataSettings(Part):
    """`[data]`: the project's datasets, and where and how their versions are kept."""

    datasets: dict[str, str] = Field(
        default_factory=dict, description="Name to path; each is versioned before a training."
    )
    remote: str = Field(
        default="",
        max_length=1000,
        pattern=r"^(|/.*|[a-z][a-z0-9+]*://.+)$",
        description="Where versions go: a folder (absolute) or `s3://`, `gs://`, `azure://` …; empty is the "
        "installation's own. Credentials come from the environment or their own files, never from here.",
    )
    quota_gb: float | None = Field(
        default=None,
        gt=0,
        description="Gigabytes (10⁹ bytes) that its versions may hold together; what they share counts once.",
    )
    read_only: bool = Field(
        default=False,
        description="Whether restored files are read-only links to the cache, without a second copy.",
    )
    bandwidth: str = Field(
        default="",
        max_length=24,
        json_schema_extra={"pattern": _RATE_PATTERN},
        description="Most that transfers to and from the remote may take: `20MB/s`, `100Mbit/s`; empty is the "
        "installation's own.",
    )

    @field_validator("remote")
    @classmethod
    def _no_credentials(cls, remote: str) -> str:
        if _CREDENTIALS.search(remote):
            raise ValueError(
                "must hold no credentials and nothing after a `?`; give them by the environment or their own files"
            )
        return remote

    @field_validator("bandwidth")
    @classmethod
    def _is_a_rate(cls, bandwidth: str) -> str:
        bytes_per_s(bandwidth)
        return bandwidth
