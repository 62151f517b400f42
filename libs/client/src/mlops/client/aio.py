# SPDX-License-Identifier: Apache-2.0
"""AsyncMLOpsClient: the same calls for async code; those that wait for somebody are awaited, logging returns at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from mlops.client.client import MLOpsClient
from mlops.client.runs import ModelHandle, Run, active, ending

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _awaited(
    call: Callable[Concatenate[MLOpsClient, _P], _T],
) -> Callable[Concatenate[AsyncMLOpsClient, _P], Coroutine[Any, Any, _T]]:
    async def in_thread(self: AsyncMLOpsClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.to_thread(call, self.client, *args, **kwargs)

    update_wrapper(in_thread, call)
    return in_thread


def _at_once(
    call: Callable[Concatenate[MLOpsClient, _P], _T],
) -> Callable[Concatenate[AsyncMLOpsClient, _P], _T]:
    def directly(self: AsyncMLOpsClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return call(self.client, *args, **kwargs)

    update_wrapper(directly, call)
    return directly


def _end_unused(starting: asyncio.Future[Run]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().end("KILLED", flush=False)


class AsyncMLOpsClient:
    """MLOpsClient for async code; `client` is the one it stands on.

    Example:
        async with AsyncMLOpsClient(MLOpsClient.from_project()) as client:
            async with client.start_run("baseline") as run:
                run.log_metrics({"loss": 0.25}, step=1)
            await client.wait(await client.submit_workflow())
    """

    def __init__(self, client: MLOpsClient) -> None:
        self.client = client

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Deliver what is logged, and close."""
        await self.close()

    @asynccontextmanager
    async def start_run(
        self, run_name: str | None = None, tags: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Run]:
        """Begin a run and end it as its block ends; see `MLOpsClient.start_run`."""
        starting = asyncio.ensure_future(
            asyncio.to_thread(self.client.start_run, run_name, tags, **options)
        )
        try:
            run = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_end_unused)  # it begins all the same, and nobody has it
            raise
        active.enter(run)
        error: BaseException | None = None
        try:
            yield run
        except BaseException as raised:
            error = raised
            raise
        finally:
            active.leave(run)
            # Cancelled or not, the end of the run is written down before this returns.
            run.end_after(error, flush=False)
            await asyncio.to_thread(self.client.flush, ending.flush_timeout_s())

    async def log_model(self, model: object, name: str = "model", **options: Any) -> ModelHandle:
        """Log a model to the active run; see `Run.log_model`."""
        return await asyncio.to_thread(self.client.log_model, model, name, **options)

    close = _awaited(MLOpsClient.close)
    flush = _awaited(MLOpsClient.flush)
    register = _awaited(MLOpsClient.register)
    attach_run = _awaited(MLOpsClient.attach_run)
    log_artifact = _awaited(MLOpsClient.log_artifact)
    log_artifacts = _awaited(MLOpsClient.log_artifacts)
    dvc_add = _awaited(MLOpsClient.dvc_add)
    dvc_push = _awaited(MLOpsClient.dvc_push)
    dvc_pull = _awaited(MLOpsClient.dvc_pull)
    open_dataset = _awaited(MLOpsClient.open_dataset)
    deploy_model = _awaited(MLOpsClient.deploy_model)
    undeploy_model = _awaited(MLOpsClient.undeploy_model)
    rollback_model = _awaited(MLOpsClient.rollback_model)
    list_deployments = _awaited(MLOpsClient.list_deployments)
    predict = _awaited(MLOpsClient.predict)
    log_label = _awaited(MLOpsClient.log_label)
    log_labels = _awaited(MLOpsClient.log_labels)
    set_reference_data = _awaited(MLOpsClient.set_reference_data)
    monitor_predictions = _awaited(MLOpsClient.monitor_predictions)
    submit_workflow = _awaited(MLOpsClient.submit_workflow)
    wait = _awaited(MLOpsClient.wait)
    get_status = _awaited(MLOpsClient.get_status)
    get_workspace_path = _awaited(MLOpsClient.get_workspace_path)
    energy = _awaited(MLOpsClient.energy)
    explain = _awaited(MLOpsClient.explain)
    events = _awaited(MLOpsClient.events)
    command = _awaited(MLOpsClient.command)
    result = _awaited(MLOpsClient.result)

    active_run = _at_once(MLOpsClient.active_run)
    log_params = _at_once(MLOpsClient.log_params)
    log_param = _at_once(MLOpsClient.log_param)
    log_metrics = _at_once(MLOpsClient.log_metrics)
    log_metric = _at_once(MLOpsClient.log_metric)
    log_apple_silicon_metrics = _at_once(MLOpsClient.log_apple_silicon_metrics)
    set_tags = _at_once(MLOpsClient.set_tags)
