# SPDX-License-Identifier: Apache-2.0
"""A limit on transfers: what people write, who is held to it, and how bytes wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops.contracts.datasets import DataSettings, bytes_per_s
from mlops.versioning.adapters.dvc_pace import Moved, Pace, Part


class Clock:
    """Time that passes only while somebody rests."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s

    def rest(self, seconds: float) -> None:
        self.now_s += seconds


def paced(clock: Clock, rate: int) -> Pace:
    return Pace(rate, clock.now, clock.rest)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("", None),
        ("20MB/s", 20_000_000),
        ("1.5 GB/s", 1_500_000_000),
        ("100Mbit/s", 12_500_000),
        ("10kB/s", 10_000),
    ],
)
def test_a_rate_is_read_as_people_write_it(written: str, rate: int | None) -> None:
    assert bytes_per_s(DataSettings(bandwidth=written).bandwidth) == rate


@pytest.mark.parametrize("written", ["20", "20MB", "fast", "0MB/s", "9kB/s", "-1MB/s", "1e9MB/s"])
def test_what_is_no_rate_is_refused_with_examples(written: str) -> None:
    with pytest.raises(ValidationError, match=r'"20MB/s" or "100Mbit/s"'):
        DataSettings(bandwidth=written)


def test_bytes_take_as_long_as_their_rate_says() -> None:
    clock = Clock()
    pace = paced(clock, 1_000_000)

    for _ in range(100):
        pace.pass_on(50_000)

    assert clock.now_s - 100.0 == pytest.approx(5.0)


def test_a_pause_earns_no_burst() -> None:
    clock = Clock()
    pace = paced(clock, 1_000_000)
    pace.pass_on(1_000_000)
    clock.rest(3600)

    pace.pass_on(1_000_000)

    assert clock.now_s - 3701.0 == pytest.approx(0.9)


@pytest.mark.parametrize(("rate", "piece"), [(10_000, 1024), (1_000_000, 50_000), (10**9, 65536)])
def test_what_is_read_at_a_pace_comes_in_pieces_that_flow(
    tmp_path: Path, rate: int, piece: int
) -> None:
    clock = Clock()
    (tmp_path / "days.bin").write_bytes(bytes(200_000))

    with Part(str(tmp_path / "days.bin"), 0, 200_000).opened(paced(clock, rate)) as reader:
        lengths = [len(read) for read in iter(lambda: reader.read(1 << 20), b"")]

    assert sum(lengths) == 200_000
    assert max(lengths) == piece
    assert clock.now_s - 100.0 == pytest.approx(200_000 / rate)


def test_a_part_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "days.bin").write_bytes(b"0123456789")

    with Part(str(tmp_path / "days.bin"), 3, 4).opened(None) as reader:
        assert reader.read() == b"3456"


def test_what_was_read_for_sending_is_counted(tmp_path: Path) -> None:
    (tmp_path / "days.bin").write_bytes(b"x" * 10)
    moved = Moved()

    with Part(str(tmp_path / "days.bin"), 3, 7).opened(None, moved) as reader:
        reader.read(4)
        before = moved.bytes
        reader.read()

    assert (before, moved.bytes) == (4, 7)
