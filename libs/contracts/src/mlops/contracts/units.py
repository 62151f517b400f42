# SPDX-License-Identifier: Apache-2.0
"""Small types that several messages share: open enums, durations, dataset names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mlops.contracts.message import Part

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,6})?(ms|s|m|h|d)$"
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_LONGEST = timedelta(days=3660)


class OpenEnum(StrEnum):
    """An enum that reads a word it does not know as `unknown`, so that old readers go on."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.__members__.get("UNKNOWN") if isinstance(value, str) else None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """List the words as examples: a closed `enum` would make each new word a breaking change."""
        schema = handler(core_schema)
        words = handler.resolve_ref_schema(schema)
        words["examples"] = words.pop("enum", words.get("examples"))
        return schema


def unknown_words(values: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place of every word that was read as `unknown`, and the words that are known there.

    A reader goes on with `unknown`; a door refuses it, because whoever writes such a word there has mistyped it.
    *values* is a model's `model_dump()`.
    """
    if isinstance(values, OpenEnum) and values == "unknown":
        yield at, ", ".join(word for word in type(values) if word != "unknown")
    elif isinstance(values, dict):
        for name, value in values.items():
            yield from unknown_words(value, f"{at}.{name}".lstrip("."))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from unknown_words(value, f"{at}.{index}")


def parse_duration(value: object) -> object:
    """Read `"10m"`, `"90s"` or `"1.5h"` as a timedelta, at most ten years."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        seconds = float(found[1]) * _UNITS[found[2]]
        value = timedelta(seconds=min(seconds, 2 * _LONGEST.total_seconds()))
    if not isinstance(value, timedelta):
        raise ValueError('must be a duration such as "90s", "10m", "2h" or "1d"')  # noqa: TRY004 - pydantic collects ValueError only
    if not timedelta(0) <= value <= _LONGEST:
        raise ValueError(f"must not be negative nor longer than {_LONGEST.days} days")
    return value


def format_duration(value: timedelta) -> str:
    """Write a duration in seconds, to the microsecond: `"600s"`, `"0.25s"`."""
    whole = value.days * 86400 + value.seconds
    fraction = f".{value.microseconds:06}".rstrip("0").rstrip(".")
    return f"{whole}{fraction}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
    Field(
        description='A duration as people write it: "90s", "10m", "2h", "1d".',
        json_schema_extra={"pattern": DURATION_PATTERN},
    ),
]

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class DatasetVersion(Part):
    """The exact version of a dataset that a run has read."""

    name: str = Field(description="Dataset name within the project.", max_length=128)
    version: int | None = Field(
        default=None,
        ge=1,
        description="Integer version, as the run or the content's address says; None where neither does.",
    )
    hash: str | None = Field(
        default=None,
        max_length=128,
        description="Content address, as in DVC (md5), or the digest that the client has logged.",
    )
    likely_version: int | None = Field(
        default=None,
        ge=1,
        description="Where only the dataset is known: the version that stood at its path during the run. "
        "Its files may have been changed since it was made.",
    )


class Reference(Part):
    """Something too large for a message."""

    uri: str = Field(max_length=1024, description="Where it stands.")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="Its content, as SHA-256 in hex."
    )
    size_bytes: int | None = Field(
        default=None, ge=0, description="Size of what stands at the uri."
    )
