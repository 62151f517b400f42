# SPDX-License-Identifier: Apache-2.0
"""`[data]` of `mlops.toml`: a project's datasets, and where and how their versions are kept."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from mlops.contracts.message import Part

# What is read, also what was stored long ago. It must not grow: a project that is there would be readable no more.
_CREDENTIALS = re.compile(r"://[^/@]*:[^/@]*@")
# What people may write now: also none whose secret holds a `/`, or stands behind a `?` (`azure://c?sig=…`). A user's
# name alone (`ssh://me@host/data`) and a port (`ssh://nas:2222/me@lab`) are none.
_WRITTEN = re.compile(r"://(?:[^/:?\[]*:(?!\d{1,5}/)[^?@]*@|[^?]*\?)")
_NO_CREDENTIALS = "must hold no credentials and nothing after a `?`; give them by the environment or their own files"
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


def remote_problem(remote: str) -> str | None:
    """Return what is wrong with a remote that somebody writes, without repeating it; None where nothing is.

    It is asked at every door, before a command is stored: `[data] remote` goes into events and into DVC's files.
    """
    found = _CREDENTIALS.search(remote) or _WRITTEN.search(remote)
    return _NO_CREDENTIALS if found else None


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
            raise ValueError(_NO_CREDENTIALS)
        return remote

    @field_validator("bandwidth")
    @classmethod
    def _is_a_rate(cls, bandwidth: str) -> str:
        bytes_per_s(bandwidth)
        return bandwidth
