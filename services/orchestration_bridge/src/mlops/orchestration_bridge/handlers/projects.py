# SPDX-License-Identifier: Apache-2.0
"""A registered project gets its pipeline and its queue; an archived one gives both up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mlops.chassis.clock import Clock
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import WorkflowCancelled, WorkflowKind
from mlops.contracts.settings import FederatedSettings, ProjectSettings, TrainSettings
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.orchestration_bridge.model import lifecycle
from mlops.orchestration_bridge.model.cohort import Cohort
from mlops.orchestration_bridge.model.lifecycle import Wish
from mlops.orchestration_bridge.model.placement import GIB, Needs
from mlops.orchestration_bridge.model.queue import Policy, Queue, State
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Pipelines, pipeline_of

COMPONENT = "orchestration_bridge"


class Projects:
    """Which projects there are and what they allow."""

    def __init__(self, books: Books, pipelines: Pipelines, clock: Clock) -> None:
        self._books = books
        self._pipelines = pipelines
        self._clock = clock
        # One word about a project at a time: an older one must not reach the orchestrator after a newer one.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def on_project_registered(
        self, event: ProjectRegistered | ProjectUpdated
    ) -> Sequence[Message]:
        """Keep what the project allows and make its pipeline; while the orchestrator is away, try again later."""

        def change(now: Queue) -> Queue:
            if now.settings_at is not None and now.settings_at > event.time:
                return now
            return told_settings(now, event)

        async with self._turns[event.project]:
            queue = await self._books.change(event.project, change, applied=event.id)
            if queue.revision != event.revision or queue.archived:
                return []  # a newer word about this project is already in force
            if queue.path is None:
                reason = (
                    "the project names no folder to run its commands in; register it with its path"
                )
                return [self._refused(event, reason)]
            names = await self._pipelines.provision(pipeline_of(queue, queue.path))
        return [
            WorkspaceProvisioned(
                project=event.project,
                component=COMPONENT,
                names=names,
                revision=event.revision,
            )
        ]

    async def on_project_archived(self, event: ProjectArchived) -> Sequence[Message]:
        """Take everything out of the queue, end what runs, and take no further run."""
        reason = (
            f"the project was archived: {event.reason}"
            if event.reason
            else "the project was archived"
        )
        wish = Wish(event.id, reason)

        def change(now: Queue) -> Queue:
            if now.settings_at is not None and now.settings_at > event.time:
                return now
            closed = lifecycle.archived(now, wish, self._clock())
            return replace(closed, settings_at=event.time)

        async with self._turns[event.project]:
            queue = await self._books.change(event.project, change, applied=event.id)
            gone = [e for e in queue.in_state(State.CANCELLED) if e.cancelled_by == event.id]
            for entry in gone:
                await self._pipelines.stop(event.project, entry.key, entry.attempt)
            if queue.archived:  # not opened again since
                await self._pipelines.retire(event.project)
        return [
            WorkflowCancelled(
                project=event.project,
                workflow_key=entry.key,
                kind=WorkflowKind(entry.kind),
                model=entry.model,
                reason=reason[:500],
            )
            for entry in gone
        ]

    def _refused(self, event: ProjectRegistered | ProjectUpdated, reason: str) -> WorkspaceRefused:
        return WorkspaceRefused(
            project=event.project,
            component=COMPONENT,
            reason=reason,
            revision=event.revision,
        )


def told_settings(now: Queue, event: ProjectRegistered | ProjectUpdated) -> Queue:
    """Return the queue of a project after what it says of itself."""
    return replace(
        now,
        policy=policy_of(event.settings, has_folder=event.path is not None),
        path=event.path,
        timeout=event.settings.train.timeout,
        revision=event.revision,
        archived=False,
        settings_at=event.time,
    )


def policy_of(settings: ProjectSettings, *, has_folder: bool) -> Policy:
    """Return what a project says about training and retraining; without a folder it can run nothing."""
    retrain, share = settings.retrain, settings.share
    return Policy(
        model=settings.serve.model or settings.name,
        can_train=bool(settings.train.command.strip()) and has_folder,
        mode=retrain.mode.value,
        on=retrain.on,
        cooldown=retrain.cooldown,
        max_per_day=retrain.max_per_day,
        max_depth=retrain.max_causation_depth,
        follow_up_windows=retrain.follow_up_windows,
        weight=share.weight,
        priority=share.priority.value,
        max_parallel=share.max_parallel,
        needs=_needs(settings.train),
        saves_within=settings.train.checkpoint.grace if settings.train.checkpoint else None,
        cohort=_cohort(settings.federated) if has_folder else None,
        most_memory_bytes=None if share.memory_gb is None else int(share.memory_gb * GIB),
        most_gpu_s=None if share.gpu_hours_per_day is None else share.gpu_hours_per_day * 3600,
        most_energy_j=None if share.energy_wh_per_day is None else share.energy_wh_per_day * 3600,
        serving_bytes=int(share.serving_memory_gb * GIB),
    )


def _cohort(federated: FederatedSettings) -> Cohort | None:
    if not federated.command.strip() or not federated.aggregate.strip():
        return None
    return Cohort(federated.nodes, federated.min_nodes, federated.rounds)


def _needs(train: TrainSettings) -> Needs:
    return Needs(
        cpu=train.resources.cpu,
        memory_bytes=int(train.resources.memory_gb * GIB),
        accelerator=train.resources.accelerator.value,
        latency_critical=train.latency_critical,
    )
