# SPDX-License-Identifier: Apache-2.0
"""Changes: what the outbox keeps of one change in MLflow, enough to tell it even if the rest is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class Why:
    """Why we moved an alias or ended a run, for whichever message; None when a client did."""

    reason: str
    metric: str = ""
    champion_metrics: Mapping[str, float] = field(default_factory=dict)
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class RunBegan:
    """A run was created, or one that had ended was opened again."""

    run_id: str
    experiment_id: str
    name: str
    user: str
    started_ms: int | None
    resumed: bool = False


@dataclass(frozen=True)
class RunEnded:
    """A run reached a final status: FINISHED, FAILED or KILLED; *again*, when it had ended before."""

    run_id: str
    experiment_id: str
    name: str
    user: str
    started_ms: int | None
    ended_ms: int | None
    status: str
    again: bool = False
    why: Why | None = None


@dataclass(frozen=True)
class RunWentStale:
    """A run without signs of life, which we set KILLED."""

    run_id: str
    experiment_id: str
    name: str
    user: str
    started_ms: int | None
    last_seen_ms: int | None
    reason: str
    again: bool = False


@dataclass(frozen=True)
class VersionAdded:
    """A version of a model was registered."""

    name: str
    version: int
    run_id: str | None
    source_uri: str


@dataclass(frozen=True)
class ChampionChanged:
    """The alias `champion` now points to another version, whoever moved it."""

    name: str
    version: int
    previous: int | None
    why: Why | None


Change = RunBegan | RunEnded | RunWentStale | VersionAdded | ChampionChanged


@dataclass(frozen=True)
class Row:
    """A change as the outbox keeps it; *id* becomes the id of its message."""

    sequence: int
    id: str
    project: str
    written_at: datetime
    change: Change
