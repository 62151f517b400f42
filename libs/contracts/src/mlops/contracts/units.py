# SPDX-License-Identifier: Apache-2.0
"""Small types that several messages share: open enums, durations, dataset names."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer

from mlops.contracts.message import Part

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


class OpenEnum(StrEnum):
    """An enum that reads a value it does not know as `unknown`, so that old readers go on."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.__members__.get("UNKNOWN")


def parse_duration(value: object) -> object:
    """Read `"10m"`, `"90s"` or `"1.5h"`; anything else passes on to the next validator."""
    if isinstance(value, str) and (found := _DURATION.match(value)):
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError('must be a duration such as "90s", "10m", "2h" or "1d"')


def format_duration(value: timedelta) -> str:
    """Write a duration in seconds: `"600s"`."""
    return f"{value.total_seconds():g}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
    Field(description='A duration as people write it: "90s", "10m", "2h", "1d".'),
]

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class DatasetVersion(Part):
    """The exact version of a dataset that a run has read."""

    name: str = Field(description="Dataset name within the project.", max_length=128)
    version: int | None = Field(
        default=None, ge=1, description="Integer version, None when it was never versioned."
    )
    hash: str | None = Field(default=None, max_length=128, description="Content address, as in DVC (md5).")


class Reference(Part):
    """Something too large for a message."""

    uri: str = Field(max_length=1024)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    size_bytes: int | None = Field(default=None, ge=0, description="Size of what stands at the uri.")
