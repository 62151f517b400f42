# SPDX-License-Identifier: Apache-2.0
"""The ledger of energy: `/api/v1/energy`, by day, workflow, run or version, of all projects or of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer
from mlops.gateway.http.callers import readable
from mlops.gateway.model.ledger import Amount, Served, Unit, Version
from mlops.gateway.model.world import World
from mlops.gateway.ports import Memory

_WH = 3600.0
Row = dict[str, object]
Projects = tuple[str, ...] | None


class Energy:
    """`/api/v1/energy`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["queries"])
        router.add_api_route("/energy", self.energy, response_model=None)
        return router

    async def energy(
        self,
        request: Request,
        project: str = "",
        by: Annotated[str, Query(description="day, workflow, run or version.")] = "day",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Return the newest entries, oldest first, and the sum over all days that are known.

        Each has `joules` and `measured_j`, the part that machines have counted themselves; null where no machine can tell.
        As far back as the bus remembers.
        """
        rows = _BY.get(by)
        if rows is None:
            known = ", ".join(_BY)
            raise CallerError(422, "no such view of energy", by, f"by is one of: {known}")
        world, ours = self._memory.world, readable(request, project)
        days = [(key, total) for key, total in world.energy.days.items() if _is(ours, key[0])]
        whole = None
        for _, total in days:
            whole = (whole or Amount()).plus(total.amount) if total.told else whole
        answer = {
            "by": by,
            "project": project or None,
            "since": min((day for (_, day), _ in days), default=None),
            **_figures(whole),
            "rows": rows(world, ours)[-limit:],
        }
        return json_answer(answer)


def _days(world: World, wanted: Projects) -> list[Row]:
    known = sorted(world.energy.days.items(), key=lambda one: (one[0][1], one[0][0]))
    return [
        {
            "project": owner,
            "day": day,
            **_figures(total.amount if total.told else None),
            "serving_j": round(total.serving_j, 3) if total.served else None,
            "predictions": total.predictions,
        }
        for (owner, day), total in known
        if _is(wanted, owner) and (round(total.amount.joules, 3) or total.predictions)
    ]


def _units(kind: str) -> Callable[[World, Projects], list[Row]]:
    def rows(world: World, wanted: Projects) -> list[Row]:
        found = [one for one in world.energy.units.values() if one.kind == kind]
        ours = sorted((o for o in found if _is(wanted, o.project)), key=lambda one: one.until)
        return [_unit(one) for one in ours]

    return rows


def _unit(one: Unit) -> Row:
    inside: Row = {"workflow": one.workflow or None} if one.kind == "run" else {"model": one.model}
    return {
        "project": one.project,
        one.kind: one.name,
        "title": one.title,
        "state": one.state,
        **inside,
        **_figures(one.counts),
        "how": one.how,
        "ended_at": one.until,
    }


def _versions(world: World, wanted: Projects) -> list[Row]:
    keys = {**dict.fromkeys(world.versions), **dict.fromkeys(world.energy.served)}
    return [_version(world, key) for key in sorted(keys) if _is(wanted, key[0])]


def _version(world: World, key: Version) -> Row:
    view, served = world.versions.get(key), world.energy.served.get(key, Served())
    run_id = view.run_id if view else ""
    trained = _training(world, run_id)
    return {
        "project": key[0],
        "model": key[1],
        "version": key[2],
        "run": run_id or None,
        **_figures(_both(trained, served)),
        "training_j": None if trained is None else round(trained.joules, 3),
        "serving_j": None if served.amount is None else round(served.amount.joules, 3),
        "predictions": served.predictions,
        "joules_per_1000": _per_1000(served),
    }


def _training(world: World, run_id: str) -> Amount | None:
    """Return what the run of a version took; of one in a workflow all that the workflow took to make it."""
    run = world.energy.units.get(("run", run_id))
    if run is None:
        return None
    workflow = world.energy.units.get(("workflow", run.workflow)) if run.workflow else None
    return (workflow.counts if workflow else None) or run.counts


def _both(trained: Amount | None, served: Served) -> Amount | None:
    if trained is None or served.amount is None:
        return trained or served.amount
    return trained.plus(served.amount)


def _per_1000(served: Served) -> float | None:
    if not served.metered_predictions:
        return None
    return round(served.metered_j / served.metered_predictions * 1000, 3)


def _figures(amount: Amount | None) -> Row:
    if amount is None:
        return {"joules": None, "wh": None, "measured_j": None}
    return {
        "joules": round(amount.joules, 3),
        "wh": round(amount.joules / _WH, 6),
        "measured_j": round(amount.measured_j, 3),
    }


def _is(wanted: Projects, project: str) -> bool:
    return wanted is None or project in wanted


_BY: dict[str, Callable[[World, Projects], list[Row]]] = {
    "day": _days,
    "workflow": _units("workflow"),
    "run": _units("run"),
    "version": _versions,
}
