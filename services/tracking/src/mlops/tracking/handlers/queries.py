# SPDX-License-Identifier: Apache-2.0
"""What tracking answers about runs when asked: runs, run, points, compare, techniques."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.chassis.bus import Documents, Question
from mlops.chassis.errors import RejectedError
from mlops.tracking.handlers import views
from mlops.tracking.handlers.projects import TrackedProject
from mlops.tracking.handlers.questions import Asked
from mlops.tracking.model import compare, techniques
from mlops.tracking.model.records import (
    CHIP,
    FINISHED,
    TECHNIQUE,
    THROUGHPUT,
    RunRecord,
    Wanted,
    direction,
)
from mlops.tracking.ports import Readings

_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_MOST_RUNS = 200
_MOST_POINTS = 5000
_MOST_COMPARED = 20
_MOST_SAMPLES = 5000
_LAST_MS = 2**53
_SHOWN = 20


class RunQueries:
    """Read-only views of runs; *projects* says which metric matters to whom."""

    def __init__(self, readings: Readings, projects: Documents[TrackedProject]) -> None:
        self._readings = readings
        self._projects = projects

    async def runs(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.runs {project?, status?, limit?, technique?, chip?}`: the newest first."""
        asked = Asked("runs", question, "project", "status", "limit", "technique", "chip")
        project = asked.text("project")
        wanted = Wanted(
            project=project,
            status=asked.choice("status", *_STATUSES),
            tags=_tags(asked),
            limit=asked.number("limit", 50, _MOST_RUNS),
        )
        goals = await self._goals()
        found = await self._readings.runs(
            wanted, sorted({name for it in goals.values() for name in it})
        )
        if not found and project is not None:
            await known_project(self._readings, project)
        kept, left_out = views.within(views.run(record) for record in found)
        return {"runs": kept, "left_out": left_out}

    async def run(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.run {run_id}`."""
        asked = Asked("run", question, "run_id")
        record = await self._one(asked.needed("run_id", "{run_id}"))
        return {"run": views.whole_run(record)}

    async def points(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.points {run_id, since_ms?, limit?}`: what was logged after then, oldest first."""
        asked = Asked("points", question, "run_id", "since_ms", "limit")
        run_id = asked.needed("run_id", "{run_id, since_ms?, limit?}")
        since_ms = asked.number("since_ms", 0, _LAST_MS, least=0)
        limit = asked.number("limit", 1000, _MOST_POINTS)
        record = await self._one(run_id)
        found = await self._readings.points(run_id, since_ms, limit)
        kept, left_out = views.within_moments([views.point(each) for each in found])
        return {
            "points": kept,
            "next_ms": kept[-1][2] if kept else since_ms,
            "more": left_out > 0 or len(found) >= limit,
            "status": record.status,
        }

    async def compare(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.compare {runs: "id,id"}`: side by side, of any projects."""
        asked = Asked("compare", question, "runs")
        run_ids = asked.names("runs", 2, _MOST_COMPARED)
        goals = await self._goals()
        first = sorted({name for it in goals.values() for name in it})
        found = await self._readings.some(run_ids, first)
        missing = [it for it in run_ids if it not in {record.run_id for record in found}]
        if missing:
            raise await self._unknown(missing[0])
        rows = compare.compare(found, [goals.get(record.project, {}) for record in found])
        kept, left_out = views.within((views.row(row) for row in rows), views.MOST_BYTES // 2)
        return {"rows": kept, "left_out": left_out, "runs": _beside(found)}

    async def techniques(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.techniques {project?, chip?, metric?}`: which is best on which chip."""
        asked = Asked("techniques", question, "project", "chip", "metric")
        project, chip = asked.text("project"), asked.text("chip")
        goals = await self._goals()
        concerned = goals if project is None else {project: goals.get(project, {})}
        metric = asked.text("metric") or _common_metric(concerned)
        tags = {TECHNIQUE: None, **({CHIP: chip} if chip else {})}
        wanted = Wanted(project, FINISHED, tags, _MOST_SAMPLES)
        measured = [*THROUGHPUT, *([metric] if metric else [])]
        found = await self._readings.samples(wanted, measured)
        if not found and project is not None:
            await known_project(self._readings, project)
        goal = _goal(metric, concerned) if metric else None
        chips = techniques.summarise(found, metric, goal)
        kept, left_out = views.within(views.chip(each) for each in chips)
        return {
            "chips": kept,
            "metric": metric,
            "goal": goal,
            "runs": len(found),
            "left_out": left_out,
        }

    async def _one(self, run_id: str) -> RunRecord:
        found = await self._readings.some([run_id])
        if not found:
            raise await self._unknown(run_id)
        return found[0]

    async def _unknown(self, run_id: str) -> RejectedError:
        newest = await self._readings.runs(Wanted(limit=3))
        ids = ", ".join(record.run_id for record in newest) or "none yet"
        return RejectedError(f"no run {run_id!r}; the newest are {ids}; `runs` lists them")

    async def _goals(self) -> dict[str, dict[str, str]]:
        projects = await self._projects.all()
        return {
            name: {project.evaluate.metric: project.evaluate.goal.value}
            for name, project in projects.items()
        }


async def known_project(readings: Readings, project: str) -> None:
    """Return when the project exists; RejectedError names those that do."""
    known = await readings.projects()
    if project not in known:
        names = ", ".join(known[:_SHOWN]) + (" …" if len(known) > _SHOWN else "")
        raise RejectedError(f"no project {project!r} in tracking; there are {names}")


def _tags(asked: Asked) -> dict[str, str | None]:
    given = {TECHNIQUE: asked.text("technique"), CHIP: asked.text("chip")}
    return {key: value for key, value in given.items() if value is not None}


def _beside(found: list[RunRecord]) -> list[views.View]:
    kept, left_out = views.within((views.run(record) for record in found), views.MOST_BYTES // 2)
    if not left_out:
        return kept
    # The rows hold them too.
    return [{**views.run(record), "metrics": {}, "params": {}} for record in found]


def _common_metric(goals: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the metric of all projects, None when they have different ones."""
    names = {name for each in goals.values() for name in each}
    return names.pop() if len(names) == 1 else None


def _goal(metric: str, goals: Mapping[str, Mapping[str, str]]) -> str | None:
    said = {each[metric] for each in goals.values() if metric in each}
    if len(said) > 1:
        return None
    return direction(metric, {metric: said.pop()} if said else {})
