# SPDX-License-Identifier: Apache-2.0
"""Wishes about models become desired state; how it is reached is the reconciler's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.serving import DeploymentStarted, DeployModel, RollbackModel, UndeployModel
from mlops.contracts.settings import RolloutKind, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived
from mlops.serving.errors import UnknownModelError
from mlops.serving.handlers.names import NAME, cause_of, endpoint, key_of
from mlops.serving.handlers.owners import Owners
from mlops.serving.model.figures import kept_metrics
from mlops.serving.model.rollout import Plan
from mlops.serving.model.state import State, Wish, rollback_target, undeploy, want
from mlops.serving.ports import Deployment, Served


class ModelHandlers:
    """Everything serving reacts to about models; *nudge* wakes the reconciler."""

    def __init__(
        self,
        projects: Documents[Served],
        deployments: Documents[Deployment],
        owners: Owners,
        drain: timedelta,
        nudge: Callable[[], None],
    ) -> None:
        self._projects = projects
        self._deployments = deployments
        self._owners = owners
        self._drain = drain
        self._nudge = nudge

    async def on_model_promoted(self, event: ModelPromoted) -> Sequence[Message]:
        """Roll out the new champion, if it is the model that the project serves."""
        served = await self._projects.get(event.project)
        if served is None or served.archived or served.refusal:
            return []
        if served.settings.model != event.name:
            return []
        why = event.reason[:500] or "promoted"
        wish = _wish(event, served, event.name, event.version, why, event.candidate_metrics)
        metric = event.metric or wish.metric
        return await self._want(event, event.name, replace(wish, metric=metric))

    async def do_deploy_model(self, command: DeployModel) -> Sequence[Message]:
        """Roll out a version that somebody names."""
        served = await self._owners.project(command.project)
        await self._owners.check_endpoint(command.project, command.model)
        why = command.why or "deployed by command"
        wish = _wish(command, served, command.model, command.version, why, {})
        return await self._want_at_once(command, command.model, wish)

    async def do_rollback_model(self, command: RollbackModel) -> Sequence[Message]:
        """Serve the version before again; a rollout under way is given up."""
        served = await self._owners.project(command.project)
        await self._owners.check_endpoint(command.project, command.model)
        state = (await self._owners.deployment(command.project, command.model)).state
        target = _rollback_target(state, command)
        wish = _wish(command, served, command.model, target, "rolled back by command", {})
        # Whoever goes back does so because what answers is worse than a hot machine.
        urgent = replace(wish, plan=replace(wish.plan, urgent=True))
        return await self._want_at_once(command, command.model, urgent)

    async def do_undeploy_model(self, command: UndeployModel) -> Sequence[Message]:
        """Stop serving a model."""
        state = (await self._owners.deployment(command.project, command.model)).state
        serves = state.live is not None or state.rollout is not None
        if not serves and not state.has_heard(command.id):
            raise UnknownModelError(
                f"model {command.model!r} of project {command.project!r} is not served"
            )
        await self._undeploy(command, command.model, "undeployed by command")
        return []

    async def on_project_archived(self, event: ProjectArchived) -> Sequence[Message]:
        """Take nothing new of the project, and stop what it serves."""
        if await self._projects.get(event.project) is None:
            return []
        await self._projects.change(event.project, _closed, applied=event.id)
        for known in (await self._deployments.all()).values():
            if known.project == event.project:
                await self._undeploy(event, known.model, "project archived")
        return []

    async def _want_at_once(
        self, command: DeployModel | RollbackModel, model: str, wish: Wish
    ) -> Sequence[Message]:
        known = await self._deployments.get(key_of(command.project, model))
        state = known.state if known else State()
        if not state.has_heard(command.id):
            _refuse_what_is_so(state, model, wish.version)
        # A person's clock may be behind; what was said last is what is wanted.
        newest = state.rollouts[-1].wanted_at if state.rollouts else wish.at
        return await self._want(command, model, replace(wish, at=max(wish.at, newest)))

    async def _want(self, cause: Message, model: str, wish: Wish) -> Sequence[Message]:
        project = cause.scope

        def change(now: Deployment | None) -> Deployment:
            current = now or Deployment(project=project, model=model)
            return current.model_copy(update={"state": want(current.state, wish, self._drain)})

        kept = await self._deployments.change(key_of(project, model), change, applied=cause.id)
        self._nudge()
        rollout = kept.state.caused_by(cause.id)
        if rollout is None:
            return []
        return [
            DeploymentStarted(
                project=project,
                deployment_id=rollout.deployment_id,
                model=model,
                version=rollout.version,
                endpoint=endpoint(model),
                previous_version=rollout.previous_version,
                why=rollout.why,
            )
        ]

    async def _undeploy(self, cause: Message, model: str, reason: str) -> None:
        def change(now: Deployment | None) -> Deployment:
            current = now or Deployment(project=cause.scope, model=model)
            gone = undeploy(current.state, cause.time, self._drain, cause_of(cause), reason)
            return current.model_copy(update={"state": gone})

        key = key_of(cause.scope, model)
        await self._deployments.change(key, change, applied=cause.id)
        self._nudge()


def _closed(now: Served | None) -> Served:
    return (now or Served(settings=ServeSettings())).model_copy(update={"archived": True})


def _wish(
    cause: Message,
    served: Served,
    model: str,
    version: int,
    why: str,
    metrics: Mapping[str, float],
) -> Wish:
    settings = served.settings
    direct = settings.rollout is RolloutKind.DIRECT
    return Wish(
        version=version,
        deployment_id=f"{model[:80]}-v{version}-{follow_up_id(cause.id, NAME, 0)[:8]}",
        cause=cause_of(cause),
        at=cause.time,
        plan=Plan(
            steps=(1.0,) if direct else settings.steps,
            hold_s=settings.step_hold.total_seconds(),
            max_error_ratio=settings.max_error_ratio,
            backend=settings.backend,
        ),
        why=why[:500],
        metric=served.metric,
        metrics=kept_metrics(metrics, served.metric),
    )


def _rollback_target(state: State, command: RollbackModel) -> int:
    repeated = state.caused_by(command.id)
    if repeated is not None:
        return repeated.version
    if state.has_heard(command.id) and state.live is not None:
        return state.live
    target = command.to_version or rollback_target(state)
    if target is None:
        raise RejectedError(
            f"model {command.model!r} of project {command.project!r} has no version before; "
            "name one with to_version"
        )
    return target


def _refuse_what_is_so(state: State, model: str, version: int) -> None:
    under_way = state.rollout
    if under_way is not None and under_way.version == version:
        raise RejectedError(
            f"version {version} of {model!r} is being rolled out already "
            f"({under_way.deployment_id})"
        )
    if under_way is None and state.live == version:
        raise RejectedError(f"version {version} of {model!r} answers all requests already")
