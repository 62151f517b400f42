# SPDX-License-Identifier: Apache-2.0
"""Pipelines: what the bridge needs of an orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.model.queue import Queue


@dataclass(frozen=True)
class Pipeline:
    """What a project needs at the orchestrator."""

    project: str
    path: str
    max_parallel: int
    timeout: timedelta


@dataclass(frozen=True)
class Order:
    """One run that is wanted; the key names it for ever, `node` the machine it was placed on, where there are several."""

    project: str
    key: str
    kind: str
    model: str
    correlation_id: str
    causation_id: str
    traceparent: str
    node: str = ""


@dataclass(frozen=True)
class Outcome:
    """How far a run is. `completed` is None while it is under way."""

    completed: bool | None
    ended_at: datetime | None = None
    step: str = ""
    diagnosis: str = ""


class Pipelines(Protocol):
    """The orchestrator. OrchestratorAwayError from any of them means: away, ask again."""

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Make what the project needs and return the names; the same again changes nothing, new settings replace old."""

    async def retire(self, project: str) -> None:
        """Take no further run of the project; repeating it, or an unknown project, is fine."""

    async def start(self, order: Order) -> Run:
        """Start the run once: the same key again, even after it ended, starts nothing and returns its place.

        Raises PipelineNotReadyError while the orchestrator does not know the project's pipeline yet.
        """

    async def look(self, project: str, key: str) -> Outcome | None:
        """Return how far the run is, a failed one with its diagnosis; None when there is no such run."""

    async def stop(self, project: str, key: str) -> None:
        """End the run and what it started; one that has ended, or never was, stays as it is."""


class Pools(Protocol):
    """How much of the orchestrator's work a machine does at once. OrchestratorAwayError means: away, ask again."""

    async def resize(self, node: str, slots: int, *, local: bool) -> None:
        """Let at most so many heavy steps run at once on a machine; what runs goes on, the same again changes nothing.

        *local* is the machine on which the orchestrator runs steps that it was given no other place for.
        """


class Orchestrator(Pipelines, Pools, Protocol):
    """Both together: what runs, and how much of it at once."""


def pipeline_of(queue: Queue, path: str) -> Pipeline:
    """Return what a project needs at the orchestrator."""
    return Pipeline(queue.project, path, queue.policy.max_parallel, queue.timeout)
