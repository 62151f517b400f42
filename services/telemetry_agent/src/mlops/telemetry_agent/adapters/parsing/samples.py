# SPDX-License-Identifier: Apache-2.0
"""Documents become HardwareSamples: one each, numbered, with energy that grows over a file and the sources of all values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from mlops.contracts.telemetry_agent import HardwareSample, SampleSource
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError
from mlops.telemetry_agent.adapters.parsing.recognise import Format, parse
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Reading, compose
from mlops.telemetry_agent.model.sample import sample_fields

_BOOT = "recording"
_ENERGY = "energy."


@dataclass(frozen=True)
class Parsed:
    """A recording: its format and its samples."""

    format: Format
    samples: tuple[HardwareSample, ...]


def parsed(raw: bytes, name: str, at: datetime) -> Parsed:
    """Return the samples of a recording; *at* stands where it tells no time, and `observed_at` is missing then.

    Raises FormatError.
    """
    found, documents = parse(raw, name)
    try:
        return Parsed(found, tuple(samples_of(documents, at)))
    except (ValidationError, TypeError) as error:
        raise FormatError(found.name, f"a value that no machine has: {error}"[:300]) from error


def samples_of(documents: Sequence[Document], at: datetime) -> list[HardwareSample]:
    """Return a sample for each document, in their order."""
    samples = []
    joules: dict[str, float] = {}
    for number, document in enumerate(documents):
        reading = _counting(compose([document.partial]), joules)
        if document.at is None:
            absent = {**reading.missing, "observed_at": UNSUPPORTED}
            reading = replace(reading, missing=absent)
        level = reading.number(LEVEL)
        fields = sample_fields(
            reading,
            None if level is None else int(level),
            number,
            _BOOT,
            document.at or at,
            document.window_s or 0.0,
        )
        samples.append(HardwareSample.model_validate({**fields, "source": SampleSource.REPLAY}))
    return samples


def _counting(reading: Reading, joules: dict[str, float]) -> Reading:
    """Return the reading with the joules of all windows up to its own, as the message counts them."""
    for name, value in reading.values.items():
        if name.startswith(_ENERGY) and not isinstance(value, str | bool):
            joules[name] = joules.get(name, 0.0) + value
    known = {name: total for name, total in joules.items() if name in reading.values}
    return replace(reading, values={**reading.values, **known})
