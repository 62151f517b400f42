# SPDX-License-Identifier: Apache-2.0
"""Whatever the bytes are: samples or a FormatError, and nothing else; torn, flipped, joined and split recordings."""

from __future__ import annotations

import contextlib
import gzip
import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops.telemetry_agent.adapters.formats import powermetrics_plist
from mlops.telemetry_agent.adapters.formats.document import FormatError
from mlops.telemetry_agent.adapters.formats.plists import Splitter
from mlops.telemetry_agent.adapters.parsing.recognise import formats
from mlops.telemetry_agent.adapters.parsing.samples import parsed, samples_of

SAMPLES = sorted((Path(__file__).parent / "samples").iterdir())
NOW = datetime(2026, 9, 2, tzinfo=UTC)
STREAM = next(
    path for path in SAMPLES if path.name == "powermetrics.m5-and-ultra.plist"
).read_bytes()

some = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
each_recording = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)


def read(raw: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert parsed(raw, "any", NOW).samples


def read_as(raw: bytes, name: str) -> None:
    parse = next(one.parse for one in formats() if one.name == name)
    with contextlib.suppress(FormatError):
        assert samples_of(parse(raw), NOW)


@each_recording
@given(data=st.data())
@some
def test_a_torn_recording(path: Path, data: st.DataObject) -> None:
    raw = path.read_bytes()
    cut = raw[: data.draw(st.integers(0, len(raw)))]

    read(cut)
    read_as(cut, path.name.partition(".")[0])


@each_recording
@given(data=st.data())
@some
def test_a_recording_with_flipped_bits(path: Path, data: st.DataObject) -> None:
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    read(bytes(raw))
    read_as(bytes(raw), path.name.partition(".")[0])


@each_recording
@given(data=st.data())
@some
def test_a_recording_with_other_numbers(path: Path, data: st.DataObject) -> None:
    raw = path.read_bytes()
    digits = [place for place, byte in enumerate(raw) if 48 <= byte <= 57]
    place = data.draw(st.sampled_from(digits))
    number = data.draw(
        st.sampled_from(
            [
                b"NaN",
                b"Infinity",
                b"-1",
                b"1e999",
                b"9" * 30,
                b"9" * 5000,
                b"",
                b"null",
                b'"',
                b"[" * 3000,
            ]
        )
    )
    changed = raw[:place] + number + raw[place + 1 :]

    read(changed)
    read_as(changed, path.name.partition(".")[0])


@each_recording
@given(
    other=st.sampled_from(SAMPLES),
    between=st.sampled_from([b"", b"\0", b"\n", b"\r\n\r\n", b"\xff\xfe"]),
)
@settings(max_examples=25, deadline=None)
def test_recordings_that_follow_each_other(path: Path, other: Path, between: bytes) -> None:
    joined = path.read_bytes() + between + other.read_bytes()

    read(joined)
    read_as(joined, path.name.partition(".")[0])


@given(raw=st.binary(max_size=300))
@example(b"")
@example(b"\x1f\x8b")
@example(b"{" * 50_000)
@example(b"[" * 200_000)
@example(b"<plist>" * 1000)
@example(b'{"card0": {}}')
@example(b'{"card0": {"GPU use (%)": true}, "card1": 3}')
@example(b"*** Sampled system activity (")
@some
def test_any_bytes(raw: bytes) -> None:
    read(raw)
    read(gzip.compress(raw))
    for one in formats():
        read_as(raw, one.name)


@given(cuts=st.lists(st.integers(0, 2 * len(STREAM)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_stream_gives_the_same_documents_wherever_it_is_split(cuts: list[int]) -> None:
    stream = STREAM + b"\0" + STREAM
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = Splitter()

    found = [
        document
        for begin, end in itertools.pairwise(places)
        for document in splitter.feed(stream[begin:end])
    ]

    assert found == Splitter().feed(stream)
    assert len(found) == 4
    assert splitter.tail.strip() == b""
    assert [powermetrics_plist.parse_document(one) for one in found] == powermetrics_plist.parse(
        stream
    )
