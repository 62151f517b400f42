# SPDX-License-Identifier: Apache-2.0
"""Durations read as people write them; open enums read what they do not know as `unknown`."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from mlops.contracts.monitoring import Severity
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.units import (
    Duration,
    OpenEnum,
    Ratio,
    Reference,
    format_duration,
    unknown_words,
)

DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
SEVERITY: TypeAdapter[Severity] = TypeAdapter(Severity)
RATIO: TypeAdapter[float] = TypeAdapter(Ratio)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("1.5h", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("0s", timedelta(0)),
    ],
)
def test_duration_reads_what_people_write(text: str, meant: timedelta) -> None:
    assert DURATION.validate_python(text) == meant


@pytest.mark.parametrize(
    "text", ["", "10", "10 m", "-5s", "1e3s", "5w", "999999999999d", "9" * 400 + "s", "PT10M", "٣s"]
)
def test_duration_refuses_anything_else_and_says_what_would_do(text: str) -> None:
    with pytest.raises(ValidationError, match=r'"10m"|longer than'):
        DURATION.validate_python(text)


@pytest.mark.parametrize("value", [10, 1.5, None, timedelta(seconds=-1), timedelta(days=4000)])
def test_duration_refuses_bare_numbers_and_impossible_lengths(value: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(seconds=600), "600s"),
        (timedelta(days=100, seconds=1), "8640001s"),
        (timedelta(milliseconds=250), "0.25s"),
        (timedelta(days=1000, microseconds=1), "86400000.000001s"),
    ],
)
def test_duration_is_written_exactly(value: timedelta, text: str) -> None:
    assert format_duration(value) == text
    assert DURATION.validate_python(text) == value


def test_unknown_word_reads_as_unknown() -> None:
    assert SEVERITY.validate_json('"apocalyptic"') is Severity.UNKNOWN


@pytest.mark.parametrize("value", ["5", "null", "{}", "[]", "true"])
def test_what_is_no_word_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        SEVERITY.validate_json(value)


def test_schema_of_an_open_enum_lists_words_without_closing_it() -> None:
    schema = SEVERITY.json_schema()

    assert schema["examples"] == ["info", "warning", "critical", "unknown"]
    assert "enum" not in schema


def test_enum_without_unknown_refuses_what_it_does_not_know() -> None:
    class Closed(OpenEnum):
        ONLY = "only"

    with pytest.raises(ValidationError):
        TypeAdapter(Closed).validate_json('"other"')


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_ratio_lies_between_zero_and_one(value: float) -> None:
    with pytest.raises(ValidationError):
        RATIO.validate_python(value)


def test_reference_wants_a_whole_checksum() -> None:
    with pytest.raises(ValidationError, match="sha256"):
        Reference(uri="file:///a", sha256="abc")


def test_unknown_words_are_told_with_their_place_and_the_known_ones() -> None:
    settings = ProjectSettings.model_validate(
        {"name": "rain", "evaluate": {"promote": "atuo"}, "retrain": {"on": ["drift.detcted"]}}
    )

    assert dict(unknown_words(settings.model_dump())) == {
        "evaluate.promote": "auto, approve, suggest, never",
        "retrain.on.0": "drift.detected, performance.degraded",
    }
