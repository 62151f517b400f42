# SPDX-License-Identifier: Apache-2.0
"""MlflowRegistry: versions, aliases and workspaces through MLflow's own stores, in this process.

No HTTP to ourselves: the gate works while the door is busy, and the reason of an alias change reaches the outbox
within the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from mlflow.entities import Workspace
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.utils.workspace_context import ServerWorkspaceContext

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.tracking.adapters.locks import turn
from mlops.tracking.adapters.mlflow_runs import MlflowRuns
from mlops.tracking.adapters.mlflow_server import Server
from mlops.tracking.adapters.outbox import because
from mlops.tracking.adapters.tables import closed
from mlops.tracking.model.changes import CHAMPION, Why
from mlops.tracking.ports import Version

T = TypeVar("T")

_MOST_MODELS = 20
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_OURS = (_ABSENT, _EXISTS, "INVALID_PARAMETER_VALUE", "INVALID_STATE")
_DEFAULT = "default"


class MlflowRegistry:
    """The registry, the catalogue and the workspaces of one MLflow."""

    def __init__(self, server: Server, runs: MlflowRuns) -> None:
        self._server = server
        self._runs = runs
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn and hold it within."""
        async with self._turn:
            held = turn(self._server.engine.url)
            try:
                await asyncio.to_thread(held.__enter__)
            except (sa.exc.SQLAlchemyError, OSError) as error:
                raise UnavailableError(f"the gate's turn does not come: {error}") from error
            try:
                yield
            finally:
                await asyncio.to_thread(held.__exit__, None, None, None)

    async def version(self, project: str, name: str, version: int) -> Version | None:
        """Return a version, or None."""
        store = self._server.registry
        return await self._in(
            project, lambda: self._found(lambda: store.get_model_version(name, version))
        )

    async def champion(self, project: str, name: str, alias: str = CHAMPION) -> Version | None:
        """Return the version with the alias `champion`, or with another one, or None."""
        store = self._server.registry
        return await self._in(
            project, lambda: self._found(lambda: store.get_model_version_by_alias(name, alias))
        )

    async def of_run(self, project: str, run_id: str) -> list[Version]:
        """Return the versions that were registered from a run, oldest first."""

        def search() -> list[Version]:
            found = self._server.registry.search_model_versions(
                f"run_id = '{run_id}'", max_results=100
            )
            versions = [self._version(entity) for entity in found]
            return sorted(versions, key=lambda version: (version.name, version.version))

        return await self._in(project, search)

    async def annotate(
        self, project: str, name: str, version: int, tags: Mapping[str, str]
    ) -> None:
        """Set tags of a version, in order."""

        def write() -> None:
            for key, value in tags.items():
                self._server.registry.set_model_version_tag(
                    name, version, ModelVersionTag(key, value)
                )

        await self._in(project, write)

    async def point(self, project: str, name: str, alias: str, version: int, why: Why) -> None:
        """Let *alias* name a version."""

        def write() -> None:
            with because(why):
                self._server.registry.set_registered_model_alias(name, alias, version)

        await self._in(project, write)

    async def models(self, project: str) -> dict[str, list[int]]:
        """Return models of a project with their latest versions, newest first."""

        def search() -> dict[str, list[int]]:
            store = self._server.registry
            models = store.search_registered_models(max_results=_MOST_MODELS)
            return {model.name: _newest(store, model.name) for model in models}

        return await self._in(project, search)

    async def provision(self, project: str) -> dict[str, str]:
        """Make workspace and experiment of a project, once."""
        await asyncio.to_thread(self._make_workspace, project)
        await self._in(project, lambda: self._make_experiment(project))
        return {"mlflow_workspace": project, "experiment": project}

    async def close(self, project: str, reason: str) -> None:
        """Refuse new runs and new versions of a project, with the reason."""
        gone = sa.delete(closed).where(closed.c.project == project)
        kept = sa.insert(closed).values(project=project, reason=reason[:500])
        await asyncio.to_thread(self._write, gone, kept)

    async def reopen(self, project: str) -> None:
        """Take new runs and versions again."""
        await asyncio.to_thread(self._write, sa.delete(closed).where(closed.c.project == project))

    def _write(self, *statements: sa.Executable) -> None:
        try:
            with self._server.engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement)
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot write which projects are closed: {error}") from error

    def _make_workspace(self, project: str) -> None:
        if project == _DEFAULT:
            return
        with _translated(), _unless(_EXISTS):
            self._server.workspaces.create_workspace(Workspace(name=project))

    def _make_experiment(self, project: str) -> None:
        tracking = self._server.tracking
        found = tracking.get_experiment_by_name(project)
        if found is None:
            with _unless(_EXISTS):
                tracking.create_experiment(project)
        elif found.lifecycle_stage == LifecycleStage.DELETED:
            tracking.restore_experiment(found.experiment_id)

    def _found(self, get: Callable[[], Any]) -> Version | None:
        found = None
        with _unless(_ABSENT, "INVALID_PARAMETER_VALUE"):
            found = get()
        return self._version(found) if found is not None else None

    def _version(self, entity: Any) -> Version:
        run_id = entity.run_id or None
        return Version(
            name=entity.name,
            version=int(entity.version),
            run_id=run_id,
            running=self._is_running(run_id),
            metrics=self._runs.metrics(run_id) if run_id else {},
            tags=dict(entity.tags),
        )

    def _is_running(self, run_id: str | None) -> bool:
        if run_id is None:
            return False
        info = None
        with _unless(_ABSENT):
            info = self._server.tracking.get_run(run_id).info
        # Nobody will log to a deleted one.
        return (
            info is not None
            and info.lifecycle_stage == LifecycleStage.ACTIVE
            and info.status in ("RUNNING", "SCHEDULED")
        )

    async def _in(self, project: str, act: Callable[[], T]) -> T:
        def acting() -> T:
            with _translated(), ServerWorkspaceContext(project):
                return act()

        return await asyncio.to_thread(acting)


def _newest(store: Any, name: str) -> list[int]:
    quoted = name.replace("'", "''")
    found = store.search_model_versions(f"name = '{quoted}'", max_results=_MOST_MODELS)
    return sorted((int(version.version) for version in found), reverse=True)


@contextmanager
def _unless(*codes: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code in _OURS:
            raise RejectedError(f"MLflow refuses: {error.message}") from error
        raise UnavailableError(f"MLflow's store failed: {error.message}") from error
