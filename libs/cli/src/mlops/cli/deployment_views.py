# SPDX-License-Identifier: Apache-2.0
"""What is served: over all projects, and one model with every step of its rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.runs import day
from mlops.cli.served import HEADS, JOURNEY, SPARE, journeys, standing, versions
from mlops.cli.views import Rows, View

_HISTORY = ("project", "model", "version", "state", "phase", "at", "deployment", "reason")


def all_models(gateway: Gateway, project: str) -> View:
    """Return every version that runs, how rollouts stand, and the rollouts before."""
    found = gateway.get("/api/v1/deployments", project=project)
    running = _running(gateway, project)
    rollouts = [
        (
            one["project"],
            one["model"],
            one.get("version"),
            one["state"],
            one.get("phase"),
            day(one.get("at")),
            one["deployment_id"],
            one.get("reason"),
        )
        for one in found["deployments"]
    ]
    return View(
        {**found, "running": running},
        (
            Rows(HEADS, versions(found["routes"], running), "nothing answers yet", SPARE),
            *filter(None, map(standing, running)),
            "",
            Rows(_HISTORY, rollouts, "no rollouts yet", ("deployment", "phase", "at")),
        ),
    )


def one_model(gateway: Gateway, project: str, model: str) -> View:
    """Return a model's versions, how its rollout stands, and every step of its rollouts."""
    owner = project or _owner(gateway, model)
    found = gateway.query("serving", "get", project=owner, model=model)["deployment"]
    routes = gateway.get("/api/v1/deployments", project=owner)["routes"]
    mine = [route for route in routes if route["model"] == model]
    return View(
        {"deployment": found, "routes": mine},
        (
            Rows(HEADS, versions(mine, [found]), "nothing answers", SPARE),
            *filter(None, [standing(found)]),
            "",
            Rows(JOURNEY, journeys(found.get("rollouts", ())), "no rollouts yet", ("kind",)),
        ),
    )


def _running(gateway: Gateway, project: str) -> list[Mapping[str, Any]]:
    """Return what serving says of its models; nothing while it is away, the gateway's own answer stands alone."""
    try:
        known = gateway.query("serving", "list").get("deployments", [])
    except CliError:
        return []
    return [one for one in known if project in ("", one.get("project"))]


def _owner(gateway: Gateway, model: str) -> str:
    known = gateway.query("serving", "list").get("deployments", [])
    owners = sorted({str(one["project"]) for one in known if one["model"] == model})
    if len(owners) == 1:
        return owners[0]
    if not owners:
        raise InputError(f"no project serves a model {model!r}", "`mlops deployments` shows all")
    raise InputError(
        f"{len(owners)} projects serve a model {model!r}: {', '.join(owners)}",
        "name one: --project NAME",
    )
