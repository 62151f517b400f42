# SPDX-License-Identifier: Apache-2.0
"""How each fact changes the world that the gateway shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from mlops.gateway.model import alerts, metering, workflows
from mlops.gateway.model.facts import Fact
from mlops.gateway.model.views import (
    DeploymentView,
    DriftView,
    Measure,
    NodeView,
    Part,
    ProjectView,
    RunView,
    VersionView,
)
from mlops.gateway.model.world import World, put

_MEASURES = 200


def apply(world: World, fact: Fact) -> None:
    """Take one fact in; a type that changes nothing shown is passed over."""
    metering.take(world.energy, fact)
    change = _CHANGES.get(fact.type) or _CHANGES.get(f"{fact.type.partition('.')[0]}.*")
    if change is not None:
        change(world, fact)


def _project(world: World, fact: Fact) -> None:
    settings = fact.data.inner("settings")
    known = world.projects.get(fact.scope, ProjectView(fact.scope, registered_at=fact.time))
    revision = fact.data.whole("revision")
    if (revision or 0) < (known.revision or 0):
        return
    view = replace(
        known,
        state="active",
        path=fact.data.text("path"),
        description=settings.text("description"),
        model=settings.inner("serve").text("model"),
        revision=revision,
        changed_at=fact.time,
    )
    put(world.projects, fact.scope, view)


def _archived(world: World, fact: Fact) -> None:
    known = world.projects.get(fact.scope, ProjectView(fact.scope))
    put(world.projects, fact.scope, replace(known, state="archived", changed_at=fact.time))


def _workspace(world: World, fact: Fact) -> None:
    known = world.projects.get(fact.scope, ProjectView(fact.scope))
    component, revision = fact.data.text("component"), fact.data.whole("revision")
    before = known.provisioned.get(component)
    if before is not None and (before.revision or 0) > (revision or 0):
        return
    part = Part(fact.data.texts("names"), fact.data.text("reason"), revision, fact.time)
    view = replace(known, provisioned={**known.provisioned, component: part})
    put(world.projects, fact.scope, view)


def _run(world: World, fact: Fact) -> None:
    run_id = fact.data.text("run_id")
    before = world.runs.get(run_id)
    resumed = fact.data.flag("resumed")
    if before is not None and fact.type == "run.started" and not resumed:
        return  # told late: the run has ended
    view = RunView(
        project=fact.scope,
        run_id=run_id,
        name=fact.data.text("run_name"),
        state=fact.happened,
        experiment=fact.data.text("experiment_name"),
        metrics=fact.data.numbers("metrics") or (before.metrics if before and resumed else {}),
        energy_j=fact.data.inner("energy").number("joules"),
        at=fact.time,
    )
    put(world.runs, run_id, view)


def _model(world: World, fact: Fact) -> None:
    name, version = fact.data.text("name"), fact.data.whole("version")
    if version is None:
        return
    key = (fact.scope, name, version)
    known = world.versions.get(key, VersionView(fact.scope, name, version))
    figures = fact.data.numbers("candidate_metrics") or fact.data.numbers("metrics")
    view = replace(
        known,
        state=_version_state(known, fact),
        run_id=fact.data.text("run_id") or known.run_id,
        metric=fact.data.text("metric") or known.metric,
        metrics=figures or known.metrics,
        reason=fact.data.text("reason") or known.reason,
        at=fact.time,
    )
    put(world.versions, key, view)
    if fact.type == "model.promoted":
        _retire(world, key)


def _version_state(known: VersionView, fact: Fact) -> str:
    if fact.type == "model.promoted":
        return "champion"
    return known.state if fact.type == "model.registered" else fact.happened


def _retire(world: World, champion: tuple[str, str, int]) -> None:
    for key, view in world.versions.items():
        if key[:2] == champion[:2] and key != champion and view.state == "champion":
            world.versions[key] = replace(view, state="retired")


def _deployment(world: World, fact: Fact) -> None:
    data, name = fact.data, fact.data.text("deployment_id")
    if data.whole("concurrency") is not None:
        return  # heat has slowed it, or no longer does: its rollout stands where it did
    empty = DeploymentView(fact.scope, name, "", None, "started", started_at=fact.time)
    known = world.deployments.get(name, empty)
    state = "started" if fact.type == "deployment.progressed" else fact.happened
    if known.state != "started" and state == "started":
        return  # told late: the rollout has ended
    ratio = data.number("traffic_ratio")
    view = replace(
        known,
        model=data.text("model"),
        version=data.whole("version"),
        state=state,
        phase=data.text("phase") or known.phase,
        traffic_ratio=_share_of(state, known.traffic_ratio if ratio is None else ratio),
        backend=data.text("backend") or known.backend,
        endpoint=data.text("endpoint") or known.endpoint,
        reason=data.text("reason") or data.text("why") or known.reason,
        at=fact.time,
    )
    put(world.deployments, name, view)
    if state == "completed":
        _replace_others(world, view)


def _share_of(state: str, ratio: float) -> float:
    shares = {"started": ratio, "completed": 1.0}
    return shares.get(state, 0.0)


def _replace_others(world: World, winner: DeploymentView) -> None:
    for key, view in world.deployments.items():
        same = (view.project, view.model) == (winner.project, winner.model)
        if same and view.state == "completed" and key != winner.deployment_id:
            world.deployments[key] = replace(view, state="replaced", traffic_ratio=0.0)


def _measured(world: World, fact: Fact) -> None:
    value = fact.data.number("value")
    if value is None:
        return
    window = fact.data.inner("window")
    key = (fact.scope, fact.data.text("model"))
    measure = Measure(
        window=window.whole("index"),
        version=fact.data.whole("version"),
        metric=fact.data.text("metric"),
        value=value,
        expected=fact.data.number("expected"),
        degraded=fact.data.flag("degraded"),
        labelled=window.whole("labelled"),
        at=fact.time,
    )
    held = world.measures.get(key, deque(maxlen=_MEASURES))
    held.append(measure)
    put(world.measures, key, held)


def _drift(world: World, fact: Fact) -> None:
    model, kind = fact.data.text("model"), fact.data.text("kind")
    view = DriftView(
        project=fact.scope,
        model=model,
        kind=kind,
        open=fact.type == "drift.detected",
        severity=fact.data.text("severity"),
        share_drifted_ratio=fact.data.number("share_drifted_ratio"),
        window=fact.data.inner("window").whole("index"),
        report_uri=fact.data.text("report_uri"),
        at=fact.time,
        unexpected_columns=tuple(fact.data.strings("unexpected_columns")),
    )
    put(world.drifts, (fact.scope, model, kind), view)


def _heat(world: World, fact: Fact) -> None:
    level, reason = fact.data.whole("level"), fact.data.text("reason")
    known = world.nodes.get(fact.scope, NodeView(fact.scope, level, reason, fact.time))
    view = replace(known, level=level, reason=reason, at=fact.time)
    put(world.nodes, fact.scope, view)


def _sampled(world: World, fact: Fact) -> None:
    sample = fact.data.inner("sample")
    if sample.flag("backfill"):
        return  # told late: it says what was
    level = sample.inner("thermal").whole("level")
    known = world.nodes.get(fact.scope, NodeView(fact.scope, level, "", fact.time))
    view = replace(
        known,
        level=level,
        at=fact.time,
        sample=fact.data.plain("sample"),
        sampled_at=sample.text("observed_at") or fact.time,
        episode_id=fact.data.text("episode_id"),
    )
    put(world.nodes, fact.scope, view)


_CHANGES: dict[str, Callable[[World, Fact], None]] = {
    "project.registered": _project,
    "project.updated": _project,
    "project.archived": _archived,
    "workspace.*": _workspace,
    "run.*": _run,
    "model.*": _model,
    "deployment.metered": lambda _world, _fact: (
        None
    ),  # the ledger's; the rollout stands where it stood
    "deployment.*": _deployment,
    "workflow.*": workflows.changed,
    "checkpoint.requested": workflows.asked,
    "alert.*": alerts.changed,
    "performance.measured": _measured,
    "drift.*": _drift,
    "thermal.*": _heat,
    "telemetry.sampled": _sampled,
}
