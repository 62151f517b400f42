# SPDX-License-Identifier: Apache-2.0
"""What people want of models, and the end of a project, become desired state; how it is reached is the reconciler's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.serving import DeployModel, RollbackModel, UndeployModel
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectArchived
from mlops.serving.errors import UnknownModelError
from mlops.serving.handlers.names import cause_of
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.promotions import Promotions
from mlops.serving.handlers.wanted import Wanted, started
from mlops.serving.handlers.wishes import back, wish_of
from mlops.serving.model.apps import key_of
from mlops.serving.model.state import State, shadowing
from mlops.serving.model.wishes import Wish, rollback_target, undeploy
from mlops.serving.ports import Deployment, Served


class ModelHandlers:
    """Listens to people and to the end of projects; *nudge* wakes the reconciler."""

    def __init__(
        self,
        projects: Documents[Served],
        deployments: Documents[Deployment],
        owners: Owners,
        wanted: Wanted,
        promotions: Promotions,
        drain: timedelta,
        nudge: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._deployments = deployments
        self._owners = owners
        self._wanted = wanted
        self._promotions = promotions
        self._drain = drain
        self._nudge = nudge
        self._clock = clock

    async def do_deploy_model(self, command: DeployModel) -> Sequence[Message]:
        """Roll out a version that somebody names; the version of a shadow goes on."""
        served = await self._owners.project(command.project)
        await self._owners.check_endpoint(command.project, command.model)
        wish = wish_of(
            command,
            served,
            command.model,
            command.version,
            now=self._clock(),
            kind=command.rollout,
            why=command.why or "deployed by command",
        )
        by_hand = replace(wish, by_hand=True)
        return await self._want_at_once(command, command.model, by_hand)

    async def do_rollback_model(self, command: RollbackModel) -> Sequence[Message]:
        """Serve an earlier version again, at once; a rollout under way is given up."""
        served = await self._owners.project(command.project)
        await self._owners.check_endpoint(command.project, command.model)
        state = (await self._owners.deployment(command.project, command.model)).state
        target = _rollback_target(state, command)
        why, now = "rolled back by command", self._clock()
        wish = wish_of(command, served, command.model, target, now=now, why=why)
        return await self._want_at_once(command, command.model, back(wish))

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

        def change(now: Served | None) -> Served:
            if now is not None and now.is_after(event.time):
                return now
            closed = {"archived": True, "at": event.time}
            return (now or Served(settings=ServeSettings())).model_copy(update=closed)

        kept = await self._projects.change(event.project, change, applied=event.id)
        await self._promotions.close(event.project, event.time)
        if not kept.archived:
            return []  # it was registered again since
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
            _refuse_what_is_so(state, model, wish)
        # A person's clock may be behind; what was said last is what is wanted.
        newest = state.rollouts[-1].wanted_at if state.rollouts else wish.at
        wish = replace(wish, at=max(wish.at, newest))
        return started(await self._wanted.want(command.project, model, wish), command)

    async def _undeploy(self, cause: Message, model: str, reason: str) -> None:
        def change(now: Deployment | None) -> Deployment:
            current = now or Deployment(project=cause.scope, model=model)
            gone = undeploy(current.state, cause.time, self._drain, cause_of(cause), reason)
            return current.model_copy(update={"state": gone})

        key = key_of(cause.scope, model)
        await self._deployments.change(key, change, applied=cause.id)
        self._nudge()


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


def _refuse_what_is_so(state: State, model: str, wish: Wish) -> None:
    under_way, version = state.rollout, wish.version
    goes_on = wish.by_hand and shadowing(state) is not None
    if under_way is not None and under_way.version == version and not goes_on:
        raise RejectedError(
            f"version {version} of {model!r} is being rolled out already "
            f"({under_way.deployment_id})"
        )
    if under_way is None and state.live == version:
        raise RejectedError(f"version {version} of {model!r} answers all requests already")
