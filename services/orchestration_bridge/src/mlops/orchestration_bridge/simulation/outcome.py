# SPDX-License-Identifier: Apache-2.0
"""The figures of one run: times, heat, energy, moves, deadlines and fairness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.orchestration_bridge.simulation.engine import Log
from mlops.orchestration_bridge.simulation.trace import Job


@dataclass(frozen=True)
class Figure:
    """One of the figures: what it is, its unit, and that less of it is better (it is of all of them)."""

    key: str
    title: str
    unit: str


FIGURES = (
    Figure("makespan_s", "makespan", "s"),
    Figure("completion_mean_s", "mean completion", "s"),
    Figure("completion_p95_s", "95th percentile of completion", "s"),
    Figure("wait_mean_s", "mean wait", "s"),
    Figure("slowdown_mean", "mean slowdown", "times"),
    Figure("late_ratio", "deadlines missed", "of all"),
    Figure("slowed_s", "machine time spent slowed by heat", "s"),
    Figure("onsets", "throttling episodes", ""),
    Figure("work_wh", "energy above idle", "Wh"),
    Figure("moves", "running jobs moved", ""),
    Figure("unfair_ratio", "fairness error", "of all"),
)


def outcome(log: Log, jobs: Sequence[Job]) -> dict[str, float]:
    """Return every figure of a run; a slowdown is completion time by the job's length at pace 1."""
    took = sorted(log.done_s[job.key] - job.at_s for job in jobs)
    count, machines = len(jobs), tuple(log.machines.values())
    return {
        "makespan_s": max(log.done_s.values()),
        "completion_mean_s": sum(took) / count,
        "completion_p95_s": percentile(took, 0.95),
        "wait_mean_s": sum(log.began_s[job.key] - job.at_s for job in jobs) / count,
        "slowdown_mean": sum((log.done_s[job.key] - job.at_s) / job.work for job in jobs) / count,
        "late_ratio": sum(log.done_s[job.key] > job.due_s for job in jobs) / count,
        "slowed_s": sum(one.slowed_s for one in machines),
        "onsets": float(sum(one.onsets for one in machines)),
        "work_wh": sum(one.work_j for one in machines) / 3600,
        "moves": float(log.moves),
        "unfair_ratio": unfair(log, jobs),
    }


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value that *part* of them do not exceed, between two of them by a straight line."""
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def unfair(log: Log, jobs: Sequence[Job]) -> float:
    """Return which part of the machine time given while work came should have been another project's.

    The ideal is weighted max-min of what was given: nobody gets more than it took in the end, else by weight.
    """
    weights = {job.group.project: job.group.weight for job in jobs}
    last_s = max(job.at_s for job in jobs)
    took, asked = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    for stay in log.stays:
        asked[stay.project] += stay.until_s - stay.since_s
        took[stay.project] += max(0.0, min(stay.until_s, last_s) - stay.since_s)
    given = sum(took.values())
    if given <= 0:
        return 0.0
    ideal = filled(asked, weights, given)
    return sum(abs(took[name] - ideal[name]) for name in weights) / 2 / given


def filled(
    asked: Mapping[str, float], weights: Mapping[str, float], given: float
) -> dict[str, float]:
    """Return weighted max-min: *given* is poured out by weight, and who has all it asked for gets no more."""
    found, left, thirsty = dict[str, float](), given, dict(asked)
    while thirsty:
        level = left / sum(weights[name] for name in thirsty)
        full = [name for name, wanted in thirsty.items() if wanted <= level * weights[name]]
        if not full:
            return found | {name: level * weights[name] for name in thirsty}
        for name in full:
            found[name] = thirsty.pop(name)
            left -= found[name]
    return found
