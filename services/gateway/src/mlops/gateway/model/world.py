# SPDX-License-Identifier: Apache-2.0
"""World: the present as the facts of the bus tell it; `folding` takes facts in, this shows them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from mlops.gateway.model.ledger import Ledger
from mlops.gateway.model.views import (
    AlertView,
    DeploymentView,
    DriftView,
    Measure,
    NodeView,
    ProjectView,
    RunView,
    VersionView,
    WorkflowView,
)

_KEPT = 500

K = TypeVar("K")
V = TypeVar("V")
_OfProject = (
    AlertView | DeploymentView | DriftView | ProjectView | RunView | VersionView | WorkflowView
)
_Row = TypeVar("_Row", bound=_OfProject)


@dataclass
class World:
    """Everything the gateway shows; each collection keeps its newest entries, last changed last."""

    projects: OrderedDict[str, ProjectView] = field(default_factory=OrderedDict)
    runs: OrderedDict[str, RunView] = field(default_factory=OrderedDict)
    versions: OrderedDict[tuple[str, str, int], VersionView] = field(default_factory=OrderedDict)
    deployments: OrderedDict[str, DeploymentView] = field(default_factory=OrderedDict)
    workflows: OrderedDict[str, WorkflowView] = field(default_factory=OrderedDict)
    alerts: OrderedDict[str, AlertView] = field(default_factory=OrderedDict)
    measures: OrderedDict[tuple[str, str], deque[Measure]] = field(default_factory=OrderedDict)
    drifts: OrderedDict[tuple[str, str, str], DriftView] = field(default_factory=OrderedDict)
    nodes: OrderedDict[str, NodeView] = field(default_factory=OrderedDict)
    energy: Ledger = field(default_factory=Ledger)

    def being_deployed(self, model: str) -> bool:
        """Return whether a rollout of *model* (bare, or with its project) is under way."""
        return any(
            model in (one.model, f"{one.project}.{one.model}") and one.state == "started"
            for one in self.deployments.values()
        )

    def of(self, projects: Collection[str]) -> World:
        """Return what is of some projects, and the machines, which are everybody's."""
        return World(
            _of(self.projects, projects),
            _of(self.runs, projects),
            _of(self.versions, projects),
            _of(self.deployments, projects),
            _of(self.workflows, projects),
            _of(self.alerts, projects),
            OrderedDict((key, one) for key, one in self.measures.items() if key[0] in projects),
            _of(self.drifts, projects),
            self.nodes,
            self.energy,  # it is asked for by project
        )

    def as_json(self, projects: Collection[str] | None = None) -> dict[str, object]:
        """Return the world (of some projects, when named) as plain JSON values."""
        world = self if projects is None else self.of(projects)
        return {
            "projects": _rows(world.projects.values()),
            "runs": _rows(world.runs.values()),
            "models": _rows(world.versions.values()),
            "deployments": _rows(world.deployments.values()),
            "workflows": _rows(world.workflows.values()),
            "alerts": _rows(world.alerts.values()),
            "drift": _rows(world.drifts.values()),
            "performance": [
                {"project": owner, "model": model, "windows": [asdict(one) for one in found]}
                for (owner, model), found in world.measures.items()
            ],
            "nodes": _rows(world.nodes.values()),
        }


def put(into: OrderedDict[K, V], key: K, value: V) -> None:
    """Show something as the last that changed; what changed longest ago is shown no more."""
    into[key] = value
    into.move_to_end(key)
    while len(into) > _KEPT:
        into.popitem(last=False)


def _of(views: OrderedDict[K, _Row], projects: Collection[str]) -> OrderedDict[K, _Row]:
    return OrderedDict((key, one) for key, one in views.items() if one.project in projects)


def _rows(views: Iterable[_OfProject | NodeView]) -> list[dict[str, object]]:
    return [asdict(view) for view in views]
