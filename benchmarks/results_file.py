# SPDX-License-Identifier: Apache-2.0
"""The one shape of a benchmark's result: a list of figures, each as a ratio against a named peer of the same run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured figure; *ratio* is ours divided by the peer's."""

    benchmark: str
    metric: str
    unit: str
    ours: float
    peer: str
    peer_value: float
    ratio: float
    runs: int


def compare(
    benchmark: str,
    metric: str,
    unit: str,
    ours: Sequence[float],
    peer: str,
    theirs: Sequence[float],
) -> Figure:
    """Return the figure of two interleaved series: medians, and the median of the ratios pair by pair."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        benchmark,
        metric,
        unit,
        round(statistics.median(ours), 4),
        peer,
        round(statistics.median(theirs), 4),
        round(statistics.median(ratios), 3),
        len(ratios),
    )


def write(name: str, figures: Sequence[Figure]) -> Path:
    """Write `results/<name>.json` and print it as a table."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    for one in figures:
        print(
            f"{one.metric:<34} {one.ours:>12.4g} {one.unit:<6} {one.peer:<28} {one.peer_value:>12.4g}  x{one.ratio:.2f}"
        )
    print(f"written: {path}")
    return path
