# SPDX-License-Identifier: Apache-2.0
"""`[data]` of `mlops.toml`: a project's datasets, and where and how their versions are kept."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from mlops.contracts.message import Part

# `s3://key:secret@bucket`: a user's name alone (`ssh://me@host/data`) is none.
_CREDENTIALS = re.compile(r"://[^/@]*:[^/@]*@")


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

    @field_validator("remote")
    @classmethod
    def _no_credentials(cls, remote: str) -> str:
        if _CREDENTIALS.search(remote):
            raise ValueError(
                "must hold no credentials; give them by the environment or their own files"
            )
        return remote
