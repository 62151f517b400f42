# SPDX-License-Identifier: Apache-2.0
"""Run a study and print it: a line of JSON for each twentieth that is done, then one with everything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace

from mlops.orchestration_bridge.simulation import fleets, trace
from mlops.orchestration_bridge.simulation.study import (
    LOADS,
    SCHEDULERS,
    SEEDS,
    USUAL,
    Study,
    played,
    summary,
)

_QUICK = Study(loads=(0.3, 0.7), seeds=4)
_STEPS = 20
_MOST_LOAD = 2.0


def main() -> None:
    """Play what the command line says."""
    asked = _parser().parse_args()
    study = Study(asked.loads, asked.seeds, asked.fleet, asked.jobs, asked.policies)
    if asked.quick:
        study = replace(study, loads=_QUICK.loads, seeds=_QUICK.seeds)
    figures = played(study, asked.workers, _told())
    runs = [
        {"scheduler": cell.scheduler, "load": cell.load, "seed": cell.seed, **found}
        for cell, found in sorted(
            figures.items(), key=lambda one: (one[0].load, one[0].seed, one[0].scheduler)
        )
    ]
    _print({"result": {**summary(study, figures), "runs": runs}})


def _told() -> Callable[[int, int], None]:
    last = [-1]

    def tell(done: int, of: int) -> None:
        step = done * _STEPS // of
        if step > last[0]:
            last[0] = step
            _print({"done": done, "of": of})

    return tell


def _print(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlops.orchestration_bridge.simulation", description=__doc__
    )
    parser.add_argument("--loads", type=_loads, default=LOADS, help="numbers, by commas")
    parser.add_argument("--seeds", type=_count, default=SEEDS)
    parser.add_argument("--fleet", choices=sorted(fleets.FLEETS), default="mixed")
    parser.add_argument("--jobs", choices=sorted(trace.JOBS), default="heavy-tailed")
    parser.add_argument("--policies", type=_schedulers, default=USUAL, help="names, by commas")
    parser.add_argument("--workers", type=_count, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="two loads and four seeds")
    return parser


def _loads(text: str) -> tuple[float, ...]:
    found = tuple(float(part) for part in text.split(","))
    if not all(0 < load <= _MOST_LOAD for load in found):
        raise argparse.ArgumentTypeError(f"a load lies between 0 and {_MOST_LOAD:g}")
    return found


def _count(text: str) -> int:
    found = int(text)
    if found < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return found


def _schedulers(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in found if name not in SCHEDULERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no policy {unknown[0]!r}; there are {', '.join(SCHEDULERS)}"
        )
    return found


if __name__ == "__main__":
    main()
