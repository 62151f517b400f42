# SPDX-License-Identifier: Apache-2.0
"""What the gateway shows of each thing: the last that was said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """What one service made for a project, or why it did not."""

    names: dict[str, str]
    reason: str
    revision: int | None
    at: str


@dataclass(frozen=True)
class ProjectView:
    """A project and what each service provisioned for it."""

    project: str
    state: str = "active"
    path: str = ""
    description: str = ""
    model: str = ""
    revision: int | None = None
    registered_at: str = ""
    changed_at: str = ""
    provisioned: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class RunView:
    """A run of a project."""

    project: str
    run_id: str
    name: str
    state: str
    experiment: str
    metrics: dict[str, float]
    at: str
    energy_j: float | None = None


@dataclass(frozen=True)
class VersionView:
    """A version of a model: registered, promoted, retired or rejected, and by which figures."""

    project: str
    model: str
    version: int
    state: str = "registered"
    run_id: str = ""
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    at: str = ""


@dataclass(frozen=True)
class DeploymentView:
    """A rollout of a version, and where it stands."""

    project: str
    deployment_id: str
    model: str
    version: int | None
    state: str
    phase: str = ""
    traffic_ratio: float = 0.0
    backend: str = ""
    endpoint: str = ""
    reason: str = ""
    started_at: str = ""
    at: str = ""


@dataclass(frozen=True)
class AskedView:
    """What a running workflow is asked to do about its machine's heat."""

    ask: str
    request: int
    attempt: int
    reason: str
    node: str
    at: str


@dataclass(frozen=True)
class WorkflowView:
    """A workflow and why it exists; `attempt` counts its starts, `asked` is what the present one is asked."""

    project: str
    workflow_key: str
    kind: str
    state: str
    model: str = ""
    why: str = ""
    trigger_type: str = ""
    trigger_id: str = ""
    decision: str = ""
    awaits_approval: bool = False
    url: str = ""
    diagnosis: str = ""
    duration_s: float | None = None
    attempt: int = 1
    node: str = ""
    asked: AskedView | None = None
    energy_j: float | None = None
    hardware: tuple[str, ...] = ()
    suggestion: str = ""
    queued_at: str = ""
    at: str = ""


@dataclass(frozen=True)
class AlertView:
    """Something that wants a person's attention."""

    project: str
    alert_id: str
    severity: str
    title: str
    state: str
    model: str
    links: tuple[str, ...]
    at: str
    kind: str = ""
    suggestion: str = ""
    count: int = 1
    by: str = ""
    told: tuple[str, ...] = ()
    over: str = ""  # why it is over; empty while it is not


@dataclass(frozen=True)
class Measure:
    """How a model did in one window."""

    window: int | None
    version: int | None
    metric: str
    value: float
    expected: float | None
    degraded: bool
    labelled: int | None
    at: str


@dataclass(frozen=True)
class DriftView:
    """Whether the data of a model are away from their reference, by kind of drift."""

    project: str
    model: str
    kind: str
    open: bool
    severity: str
    share_drifted_ratio: float | None
    window: int | None
    report_uri: str
    at: str
    unexpected_columns: tuple[str, ...] = ()  # the reference does not have them


@dataclass(frozen=True)
class NodeView:
    """How hot a machine is, and the newest of its samples as it was told, with its own time."""

    node: str
    level: int | None
    reason: str
    at: str
    sample: Mapping[str, object] = field(default_factory=dict)
    sampled_at: str = ""
    episode_id: str = ""
