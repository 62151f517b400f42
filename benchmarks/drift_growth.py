# SPDX-License-Identifier: Apache-2.0
"""What a second reference, grown from quiet windows, costs and gives where the first one is of some hours.

    OPENBLAS_NUM_THREADS=1 python benchmarks/drift_growth.py

Windows of 500 rows, one row a minute, for fifteen days against the first 1000 rows; default settings. `days` are
independent rows with two columns that have a level of their own every day (sd .1). The peer is the first reference alone, as it
was before. Seeds are beside the figures, shares in per cent of windows. Writes benchmarks/results/drift_growth.json.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import replace

import numpy as np
from drift_streams import GROUP, MINUTES_A_DAY, Kind, Rows, Shift, Stream
from results_file import Figure, write

from mlops.monitoring.model.alarm import Alarm, signs, step
from mlops.monitoring.model.alarm import Kind as Told
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.growth import SURER, Growth, State, wanted
from mlops.monitoring.model.reference import Reference, freeze

ROWS, FIRST, WINDOWS = 500, 1000, 41
SEED = 671_000 + 70_000
SERIES = 20
SHARE, PERSIST, ALPHA = 0.5, 2, 0.05
SHIFTS = (
    Shift("mean", 0.5, everywhere=False),
    Shift("mean", 2.0, everywhere=False),
    Shift("mean", 0.25, everywhere=True),
)
DRIFTS = (0.05, 0.1, 0.2)
_LEVEL = 0.1
_PERIODS = ((1, "1st day"), (2, "2nd day"), (3, "3rd day"), (7, "1st week"), (99, "2nd week"))


class Watching:
    """One version: its first reference, the rows that joined, and the second reference once that is whole."""

    def __init__(self, first: Rows) -> None:
        self.rows, self.first = first, _frozen(first, levels=False)
        self.second: Reference | None = None
        self.growth = Growth().with_rows(first.times)
        self._alarms = {kind: Alarm() for kind in Told}

    def looks(self, window: Rows) -> tuple[WindowVerdict, WindowVerdict]:
        """Return what both references say, and what the first one says alone."""
        alone = _verdict(self.first, window)
        if self.second is None or not alone.quiet:
            return alone, alone
        return _verdict(self.second, window, SURER), alone

    def after(self, window: Rows, verdict: WindowVerdict) -> None:
        """Let the rows of a window join as the service does."""
        for kind, sign in signs(verdict, SHARE).items():
            self._alarms[kind], _ = step(self._alarms[kind], kind, sign, PERSIST)
        if self.growth.state is not State.GROWS:
            return
        if self.first.unseen is None or any(alarm.on for alarm in self._alarms.values()):
            self.growth = replace(self.growth, state=State.ENDED)
        elif verdict.quiet:
            self._grow(window)

    def _grow(self, window: Rows) -> None:
        places = wanted(self.growth.places, window.times)
        times = [*self.rows.times, *(window.times[place] for place in places)]
        values = np.concatenate([self.rows.values, window.values[places]])
        order = sorted(range(len(times)), key=times.__getitem__)
        self.rows = Rows(values[order], [times[place] for place in order])
        grown = self.growth.with_rows([window.times[place] for place in places])
        self.growth = grown.after(window.times[-1])
        if self.growth.state is State.WHOLE:
            self.second = _frozen(self.rows, levels=True)


def stays(kind: str, seed: int) -> list[Figure]:
    """Measure false alarms of a stream that stays as it is, and what one window of it shows of each shift."""
    seen: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for number in range(SERIES):
        stream, levels = _stream(kind, seed + number), np.random.default_rng(seed + 500 + number)
        wavers = _LEVEL * levels.standard_normal((30, GROUP + 1)) * (kind == "days")
        first = _levelled(stream.take(FIRST), wavers)
        watching = Watching(first)
        for at in range(WINDOWS):
            when = _period(at)
            for shift in SHIFTS if when != "2nd week" or at % 3 == 0 else ():
                moved = _levelled(copy.deepcopy(stream).take(ROWS, shift), wavers)
                seen[f"seen {shift.name}", when].append(_loud(watching.looks(moved)))
            window = _levelled(stream.take(ROWS), wavers)
            verdicts = watching.looks(window)
            seen["false alarms", when].append(_loud(verdicts))
            watching.after(window, verdicts[0])
    return [
        _figure(f"{what} in the {when}, {kind} seed={seed}", found)
        for (what, when), found in seen.items()
    ]


def drifts(kind: str, seed: int) -> list[Figure]:
    """Measure what is seen in the second week of one column that moves by so much every day."""
    found = []
    for per_day in DRIFTS:
        seen = []
        for number in range(SERIES):
            stream = _stream(kind, seed + number)
            watching = Watching(stream.take(FIRST))
            for at in range(WINDOWS):
                by = per_day * (FIRST + ROWS * at) / MINUTES_A_DAY
                window = stream.take(ROWS, Shift("mean", by, everywhere=False))
                verdicts = watching.looks(window)
                watching.after(window, verdicts[0])
                if _period(at) == "2nd week":
                    seen.append(_loud(verdicts))
        found.append(
            _figure(f"seen drift of {per_day:g} a day in the 2nd week, {kind} seed={seed}", seen)
        )
    return found


def _stream(kind: str, seed: int) -> Stream:
    kinds: dict[str, Kind] = {"daily": "daily", "weekly": "weekly"}
    return Stream(kinds.get(kind, "independent"), GROUP, seed, step=1)


def _levelled(rows: Rows, levels: np.ndarray) -> Rows:
    day = np.array([time.toordinal() for time in rows.times]) % len(levels)
    values = rows.values.copy()
    values[:, :2] += levels[day][:, :2]  # the two normal columns
    return Rows(values, rows.times)


def _period(at: int) -> str:
    days = (FIRST + ROWS * at) / MINUTES_A_DAY
    return next(name for until, name in _PERIODS if days < until)


def _frozen(rows: Rows, *, levels: bool) -> Reference:
    columns, answers = rows.columns(0, GROUP), rows.answers(0)
    return freeze(columns, answers, ROWS, rows.times, levels=levels)


def _verdict(reference: Reference, window: Rows, surer: float = 1.0) -> WindowVerdict:
    columns, answers = window.columns(0, GROUP), window.answers(0)
    return judge(reference, columns, answers, surer * ALPHA, window.times)


def _loud(verdicts: tuple[WindowVerdict, WindowVerdict]) -> tuple[bool, bool]:
    both, alone = verdicts
    return not both.quiet, not alone.quiet


def _figure(name: str, found: list[tuple[bool, bool]]) -> Figure:
    ours, alone = (100 * sum(flags) / len(found) for flags in zip(*found, strict=True))
    ratio = ours / max(alone, 50 / len(found))
    peer = "the first reference alone"
    return Figure(
        "drift", name, "%", round(ours, 2), peer, round(alone, 2), round(ratio, 3), len(found)
    )


def main() -> None:
    """Measure all streams."""
    kinds = ("independent", "days", "daily", "weekly")
    found = [one for at, kind in enumerate(kinds) for one in stays(kind, SEED + 1000 * at)]
    found += [one for at, kind in enumerate(kinds[::2]) for one in drifts(kind, SEED + 1000 * at)]
    write("drift_growth", found)


if __name__ == "__main__":
    main()
