# SPDX-License-Identifier: Apache-2.0
"""Pipelines: what the bridge needs of an orchestrator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mlops.orchestration_bridge.model.cohort import Cohort
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.model.queue import Queue
from mlops.orchestration_bridge.model.workers import Worker


@dataclass(frozen=True)
class Pipeline:
    """What a project needs at the orchestrator; `cohort` where it trains on several machines together, too."""

    project: str
    path: str
    max_parallel: int
    timeout: timedelta
    cohort: Cohort | None = None


@dataclass(frozen=True)
class Order:
    """One run that is wanted; key and attempt name it for ever, `node` the machine it was placed on, of several.

    `nodes` are all its machines, where it was placed on more than one.
    """

    project: str
    key: str
    kind: str
    model: str
    correlation_id: str
    causation_id: str
    traceparent: str
    node: str = ""
    nodes: tuple[str, ...] = ()
    attempt: int = 1

    @property
    def run_id(self) -> str:
        """Return the name of the run."""
        return run_id_of(self.key, self.attempt)


@dataclass(frozen=True)
class Outcome:
    """How far a run is. `completed` is None while it is under way.

    A failed one has `left` when its step ended itself at a request, to be started again, and `saved` when it kept a
    checkpoint before; it is `mute` when its step said nothing of how it failed, as when its machine vanishes.
    """

    completed: bool | None
    ended_at: datetime | None = None
    step: str = ""
    diagnosis: str = ""
    left: bool = False
    saved: bool = False
    mute: bool = False


class Pipelines(Protocol):
    """The orchestrator. OrchestratorAwayError from any of them means: away, ask again."""

    async def provision(self, pipeline: Pipeline) -> dict[str, str]:
        """Make what the project needs and return the names; the same again changes nothing, new settings replace old."""

    async def retire(self, project: str) -> None:
        """Take no further run of the project; repeating it, or an unknown project, is fine."""

    async def start(self, order: Order) -> Run:
        """Start the run once: the same attempt again, even after it ended, starts nothing and returns its place.

        Raises PipelineNotReadyError while the orchestrator does not know the project's pipeline yet.
        """

    async def look(self, project: str, key: str, attempt: int = 1) -> Outcome | None:
        """Return how far the run is, a failed one with its diagnosis; None when there is no such run."""

    async def stop(self, project: str, key: str, attempt: int = 1) -> None:
        """End the run and what it started; one that has ended, or never was, stays as it is."""


class Pools(Protocol):
    """How much of the orchestrator's work a machine does at once. OrchestratorAwayError means: away, ask again."""

    async def resize(self, node: str, slots: int, *, local: bool) -> None:
        """Let at most so many heavy steps run at once on a machine; what runs goes on, the same again changes nothing.

        *local* is the machine on which the orchestrator runs steps that it was given no other place for.
        """

    async def workers(self) -> tuple[Worker, ...]:
        """Return the machines that run steps beside the orchestrator's own; none where it has none."""

    async def drain(self, node: str, why: str) -> None:
        """Let a worker take nothing new, and say *why*; what runs goes on. An unknown worker is none to drain."""

    async def undrain(self, node: str) -> None:
        """Let a worker take work again; one that takes it already, or is unknown, stays as it is."""

    async def release(self, node: str, why: str) -> None:
        """Give up what waits for a worker that takes nothing, and that a cohort can do without; repeating it is fine."""


class Files(Protocol):
    """What a machine must have to run steps for the orchestrator."""

    async def files(self) -> dict[str, str]:
        """Return the text of each file, by name; none where no such files are needed."""


class Orchestrator(Pipelines, Pools, Files, Protocol):
    """All together: what runs, how much of it at once, and what other machines need for it."""


def run_id_of(key: str, attempt: int) -> str:
    """Return the name that an attempt has at the orchestrator: the key itself is the first."""
    return key if attempt == 1 else f"{key}.{attempt}"


def pipeline_of(queue: Queue, path: str) -> Pipeline:
    """Return what a project needs at the orchestrator."""
    policy = queue.policy
    return Pipeline(queue.project, path, policy.max_parallel, queue.timeout, policy.cohort)
