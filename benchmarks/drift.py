# SPDX-License-Identifier: Apache-2.0
"""The drift rule against Evidently's default: false alarms, power, delay, a quiet year, and what a decision costs.

    OPENBLAS_NUM_THREADS=1 python benchmarks/drift.py [alarms] [power] [cycles] [unseen] [year] [cost]

Streams and shifts are those of `drift_streams.py`, every one from a seed that is written beside its figure. An alarm is
a window in which anything is seen (columns, answers, missing values, many together, pairs); an event is what would be
told. Our figures include the column of the answers. The peer is Evidently's own default test per column and its
default share of .5; of false alarms it judges fewer windows, for its cost. Shares are in per cent of windows; a ratio
against nothing seen is one against half a window. Writes benchmarks/results/drift_<part>.json.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import drift_peer
from drift_streams import GROUP, Kind, Rows, Shift, Stream
from evidently import Dataset
from results_file import Figure, compare, write

from mlops.monitoring.model.alarm import Alarm, Edge, signs, step
from mlops.monitoring.model.alarm import Kind as Told
from mlops.monitoring.model.drift import judge
from mlops.monitoring.model.reference import Reference, freeze

WIDTH = 50
SEED = 671_000
SHARE, PERSIST = 0.5, 2
_LATE = 99


@dataclass(frozen=True)
class Plan:
    """How many windows of how many rows, against how many references of how many rows."""

    rows: int
    reference_rows: int
    windows: int
    references: int
    by_peer: int  # windows per reference that the peer judges too


@dataclass(frozen=True)
class Seen:
    """What one series of windows gave: alarm and event per window."""

    alarms: list[bool]
    events: list[bool]
    retraining: int = 0

    @property
    def delay(self) -> int:
        """Return after how many windows the first event was told."""
        return self.events.index(True) + 1 if True in self.events else _LATE


ALARM_PLANS = (
    Plan(200, 500, 12, 24, 2),
    Plan(200, 5000, 12, 24, 2),
    Plan(500, 500, 12, 24, 2),
    Plan(500, 5000, 12, 24, 2),
    Plan(2000, 5000, 6, 12, 2),
    Plan(10000, 5000, 3, 6, 1),
)
POWER_PLANS = (
    Plan(200, 5000, 20, 2, 10),
    Plan(500, 500, 20, 2, 10),
    Plan(500, 5000, 20, 2, 10),
    Plan(2000, 5000, 12, 2, 6),
    Plan(10000, 5000, 6, 2, 3),
)
SHIFTS = (
    *(Shift("mean", by, everywhere) for by in (0.1, 0.2, 0.5) for everywhere in (False, True)),
    *(Shift("variance", by, everywhere) for by in (1.25, 1.5) for everywhere in (False, True)),
    *(Shift("category", by, everywhere) for by in (0.05, 0.1, 0.2) for everywhere in (False, True)),
    Shift("missing", 0.05, everywhere=False),
    Shift("missing", 0.2, everywhere=False),
    Shift("flip", 1, everywhere=False),
    Shift("label", 0.5, everywhere=True),
)
UNSEEN_SHIFTS = (
    Shift("mean", 0.5, everywhere=False),
    Shift("mean", 2.0, everywhere=False),
    Shift("missing", 0.05, everywhere=False),
)
CYCLIC_SHIFTS = (
    *(Shift("mean", by, everywhere) for by in (0.2, 0.5, 1.0) for everywhere in (False, True)),
    *(Shift("variance", by, everywhere) for by in (1.5, 2.0) for everywhere in (False, True)),
    Shift("category", 0.2, everywhere=False),
    Shift("missing", 0.05, everywhere=False),
)


def alarms() -> list[Figure]:
    """Measure clean streams, ten columns (five groups of them) and fifty."""
    kinds: tuple[Kind, ...] = ("independent", "correlated", "ar1", "daily")
    return [f for at, kind in enumerate(kinds) for f in _clean(kind, SEED + 1000 * at, ALARM_PLANS)]


def _clean(kind: Kind, seed: int, plans: Sequence[Plan], cycle: str = "auto") -> Iterator[Figure]:
    for number, plan in enumerate(plans):
        narrow, wide, theirs = [], [], []
        first = seed + 100 * number
        for reference, windows in _series(kind, plan, first):
            narrow += [
                _ours(reference, windows, plan.rows, begin, begin + GROUP, cycle)
                for begin in range(0, WIDTH, GROUP)
            ]
            wide.append(_ours(reference, windows, plan.rows, 0, WIDTH, cycle))
            theirs += _peers(reference, windows[: plan.by_peer])
        name = f"{kind} n={plan.rows} ref={plan.reference_rows} seed={first}"
        for width, seen in ((GROUP, narrow), (WIDTH, wide)):
            peer = [drift_peer.alarms(found, width) for found in theirs]
            yield _shares("false alarms", f"{name} C={width}", seen, "alarms", peer)
            yield _shares("false events", f"{name} C={width}", seen, "events", peer)


def power() -> list[Figure]:
    """Measure every shift, at every size of window, and how long an event takes."""
    found: list[Figure] = []
    for at, plan in enumerate(POWER_PLANS):
        for number, shift in enumerate(SHIFTS):
            found += _shifted(shift.stream, shift, plan, SEED + 20_000 + 1000 * at + 10 * number)
    return found


def cycles() -> list[Figure]:
    """Measure daily and weekly streams: by phases of the cycle, and by the same rule without them."""
    found: list[Figure] = []
    for at, (kind, reference_rows) in enumerate((("daily", 5000), ("weekly", 12_000))):
        stream: Kind = "daily" if kind == "daily" else "weekly"
        plans = (Plan(500, reference_rows, 20, 2, 2), Plan(2000, reference_rows, 10, 2, 1))
        seed = SEED + 40_000 + 5000 * at
        found += _clean(stream, seed, (Plan(500, reference_rows, 12, 16, 1),))
        for number, shift in enumerate(CYCLIC_SHIFTS):
            for plan in plans:
                found += _without_phases(stream, shift, plan, seed + 1000 + 10 * number)
    return found


def unseen() -> list[Figure]:
    """Measure references that are shorter than their cycle, and what allowing for it costs where there is none."""
    found: list[Figure] = []
    cyclic: tuple[tuple[Kind, int], ...] = (
        ("daily", 500),
        ("daily", 1000),
        ("weekly", 700),
        ("weekly", 1500),
        ("weekly", 5000),
    )
    for at, (kind, reference_rows) in enumerate(cyclic):
        seed = SEED + 50_000 + 500 * at
        plan = Plan(500, reference_rows, 20, 12, 0)
        found += _against_none("false alarms", kind, None, plan, seed)
    for number, shift in enumerate(UNSEEN_SHIFTS):
        plan = Plan(500, 500, 20, 4, 0)
        seed = SEED + 55_000 + 100 * number
        found += _against_none("seen", "independent", shift, plan, seed)
    return found


def _against_none(
    what: str, kind: Kind, shift: Shift | None, plan: Plan, seed: int
) -> Iterator[Figure]:
    auto, none = [], []
    for reference, windows in _series(kind, plan, seed, shift):
        auto.append(_ours(reference, windows, plan.rows, 0, GROUP))
        none.append(_ours(reference, windows, plan.rows, 0, GROUP, "none"))
    moved = "" if shift is None else f" {shift.name}"
    name = f"{kind}{moved} n={plan.rows} ref={plan.reference_rows} seed={seed} C={GROUP}"
    forced = [alarm for one in none for alarm in one.alarms]
    yield _shares(what, name, auto, "alarms", forced, peer_name='cycle = "none"')


def _shifted(kind: Kind, shift: Shift, plan: Plan, seed: int) -> Iterator[Figure]:
    ours: dict[int, list[Seen]] = {GROUP: [], WIDTH: []}
    theirs: dict[int, list[bool]] = {GROUP: [], WIDTH: []}
    clean: dict[int, list[bool]] = {GROUP: [], WIDTH: []}
    for reference, windows in _series(kind, plan, seed, shift):
        found = _peers(reference, windows[: plan.by_peer])
        quiet = Stream(kind, WIDTH, seed + 7)
        unmoved = _peers(reference, [quiet.take(plan.rows) for _ in range(plan.by_peer)])
        for width in (GROUP, WIDTH):
            # The peer assumes that there is no rhythm; so it is told here, and is what these streams are.
            ours[width].append(_ours(reference, windows, plan.rows, 0, width, "none"))
            theirs[width] += [drift_peer.alarms(one, width) for one in found]
            clean[width] += [drift_peer.alarms(one, width) for one in unmoved]
    name = f"{shift.name} n={plan.rows} ref={plan.reference_rows} seed={seed}"
    for width, seen in ours.items():
        # A peer that alarms on clean windows as well has no power, only noise.
        noisy = " (it alarms on clean windows too)" if sum(clean[width]) else ""
        yield _shares("seen", f"{name} C={width}", seen, "alarms", theirs[width], noisy)
        delays = [one.delay for one in seen if one.delay != _LATE]
        yield Figure(
            "drift",
            f"windows until told {name} C={width}",
            "1",
            statistics.median(delays) if delays else 0,
            "series that were never told",
            len(seen) - len(delays),
            round(len(delays) / len(seen), 3),
            len(seen),
        )


def _without_phases(kind: Kind, shift: Shift, plan: Plan, seed: int) -> Iterator[Figure]:
    by_phase, plain = [], []
    for reference, windows in _series(kind, plan, seed, shift):
        by_phase.append(_ours(reference, windows, plan.rows, 0, GROUP))
        plain.append(_ours(reference, windows, plan.rows, 0, GROUP, "none"))
    name = f"{kind} {shift.name} n={plan.rows} ref={plan.reference_rows} seed={seed} C={GROUP}"
    blind = [alarm for one in plain for alarm in one.alarms]
    yield _shares("seen", name, by_phase, "alarms", blind, peer_name="the rule without phases")


def year() -> list[Figure]:
    """Count what is told of ten models in a year without any change, a window of 500 rows every eight hours."""
    found = []
    for at, kind in enumerate(("independent", "correlated", "ar1", "daily")):
        stream: Kind = kind  # type: ignore[assignment]  # literals of the line above
        plan = Plan(500, 5000, 1095, 2, 0)
        told, retraining, windows = 0, 0, 0
        for reference, series in _series(stream, plan, SEED + 60_000 + 100 * at):
            for begin in range(0, WIDTH, GROUP):
                seen = _ours(reference, series, plan.rows, begin, begin + GROUP)
                told, windows = told + sum(seen.events), windows + len(seen.events)
                retraining += seen.retraining
        for name, count in (("events", told), ("events that may retrain", retraining)):
            found.append(
                Figure(
                    "drift",
                    f"{name} in ten years, {kind}",
                    "1",
                    count,
                    "windows",
                    windows,
                    count / windows,
                    10,
                )
            )
    return found


def cost() -> list[Figure]:
    """Measure the CPU time of one decision on 10 000 x 50, from rows as the service has them."""
    stream = Stream("independent", WIDTH, SEED + 80_000)
    reference, window = stream.take(5000), stream.take(10_000)
    frozen = freeze(reference.columns(0, WIDTH), reference.answers(0), 10_000, reference.times)
    listed = {
        name: one if isinstance(one, list) else list(map(float, one))
        for name, one in window.columns(0, WIDTH).items()
    }
    answers = window.answers(0).tolist()
    tables = [drift_peer.table_of(rows, WIDTH) for rows in (window, reference)]
    now, then = (
        Dataset.from_pandas(table, data_definition=drift_peer.definition(WIDTH)) for table in tables
    )
    ours, counting, presets = [], [], []
    for _ in range(5):
        ours.append(_cpu_s(lambda: judge(frozen, listed, answers, times=window.times)))
        counting.append(_cpu_s(lambda: drift_peer.run_report(now, then, preset=False)))
        presets.append(_cpu_s(lambda: drift_peer.run_report(now, then, preset=True)))
    return [
        compare("drift", "decision on 10000 x 50", "CPU s", ours, "DataDriftPreset", presets),
        compare("drift", "decision on 10000 x 50", "CPU s", ours, "DriftedColumnsCount", counting),
    ]


def _series(
    kind: Kind, plan: Plan, seed: int, shift: Shift | None = None
) -> Iterator[tuple[Rows, list[Rows]]]:
    for number in range(plan.references):
        stream = Stream(kind, WIDTH, seed + number)
        reference = stream.take(plan.reference_rows)
        yield reference, [stream.take(plan.rows, shift) for _ in range(plan.windows)]


def _ours(
    reference: Rows, windows: Sequence[Rows], rows: int, begin: int, end: int, cycle: str = "auto"
) -> Seen:
    frozen: Reference = freeze(
        reference.columns(begin, end), reference.answers(begin), rows, reference.times, cycle
    )
    alarms, events, retraining = [], [], 0
    memory = {kind: Alarm() for kind in Told}
    for window in windows:
        verdict = judge(
            frozen, window.columns(begin, end), window.answers(begin), times=window.times
        )
        found, told = signs(verdict, SHARE), False
        for kind, sign in found.items():
            memory[kind], edge = step(memory[kind], kind, sign, PERSIST)
            told = told or edge in (Edge.BEGAN, Edge.GREW)
            critical = edge is not None and memory[kind].critical
            retraining += kind is Told.PREDICTION and critical
        alarms.append(any(sign.seen for sign in found.values()))
        events.append(told)
    return Seen(alarms, events, retraining)


def _peers(reference: Rows, windows: Sequence[Rows]) -> list[drift_peer.Flags]:
    table = drift_peer.table_of(reference, WIDTH)
    return [drift_peer.drifted(table, drift_peer.table_of(rows, WIDTH)) for rows in windows]


def _shares(
    what: str,
    name: str,
    ours: Sequence[Seen],
    of: str,
    theirs: Sequence[bool],
    noisy: str = "",
    peer_name: str = drift_peer.NAME,
) -> Figure:
    flags = [flag for one in ours for flag in (one.alarms if of == "alarms" else one.events)]
    mine, other = 100 * sum(flags) / len(flags), 100 * sum(theirs) / len(theirs)
    least = 50 / len(theirs)
    return Figure(
        "drift",
        f"{what} {name}",
        "%",
        round(mine, 2),
        peer_name + noisy,
        round(other, 2),
        round(mine / max(other, least), 3),
        len(flags),
    )


def _cpu_s(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


PARTS = {
    "alarms": alarms,
    "power": power,
    "cycles": cycles,
    "unseen": unseen,
    "year": year,
    "cost": cost,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        write(f"drift_{part}", PARTS[part]())
