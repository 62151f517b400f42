# SPDX-License-Identifier: Apache-2.0
"""Airflow's REST API through its generated client: one token, renewed when refused; vendor errors end here."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from airflow_client import client
from airflow_client.client import exceptions
from airflow_client.client.api.dag_api import DAGApi
from airflow_client.client.api.dag_run_api import DagRunApi
from airflow_client.client.api.import_error_api import ImportErrorApi
from airflow_client.client.api.monitor_api import MonitorApi
from airflow_client.client.api.pool_api import PoolApi
from airflow_client.client.api.task_instance_api import TaskInstanceApi
from airflow_client.client.models.dag_patch_body import DAGPatchBody
from airflow_client.client.models.dag_run_patch_body import DAGRunPatchBody
from airflow_client.client.models.pool_body import PoolBody
from airflow_client.client.models.pool_patch_body import PoolPatchBody
from airflow_client.client.models.trigger_dag_run_post_body import TriggerDAGRunPostBody
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from mlops.chassis.errors import RejectedError
from mlops.orchestration_bridge.errors import OrchestratorAwayError

T = TypeVar("T")

_TIMEOUT_S = (2.0, 15.0)
_SUM_UP = 300


class NotThereError(RejectedError):
    """Airflow knows no such DAG, run, task or pool."""


class ExistsError(RejectedError):
    """Airflow has one of that name already."""


class AirflowRest:
    """The few calls the bridge needs; each blocks in a thread of its own and gives up after 15 s."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        configuration = client.Configuration(host=self.url)
        configuration.retries = 0
        self._client = client.ApiClient(configuration)
        self._lock = threading.Lock()

    async def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run; ExistsError when there is one of that id, NotThereError without the DAG."""
        body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=None, conf=conf)
        await self._call(lambda: self._runs().trigger_dag_run(dag_id, body, **_options()))

    async def run(self, dag_id: str, run_id: str) -> Any:
        """Return the run as Airflow tells it."""
        return await self._call(lambda: self._runs().get_dag_run(dag_id, run_id, **_options()))

    async def fail_run(self, dag_id: str, run_id: str) -> None:
        """End a run; its tasks get SIGTERM."""
        body = DAGRunPatchBody(state="failed")
        await self._call(
            lambda: self._runs().patch_dag_run(
                dag_id, run_id, body, update_mask=["state"], **_options()
            )
        )

    async def task_instances(self, dag_id: str, run_id: str) -> list[Any]:
        """Return the tasks of a run."""
        api = TaskInstanceApi(self._client)
        found = await self._call(lambda: api.get_task_instances(dag_id, run_id, **_options()))
        return list(found.task_instances)

    async def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """Return the lines of a task's log."""
        api = TaskInstanceApi(self._client)

        def read() -> bytes:
            # The typed answer knows two shapes of a line and a server may know three; plain JSON does not mind.
            options = {"map_index": -1, "accept": "application/json", **_options()}
            reply = api.get_log_without_preload_content(
                dag_id, run_id, task_id, try_number, **options
            )
            if reply.status >= 400:  # noqa: PLR2004 - HTTP
                raise exceptions.ApiException(status=reply.status, reason=reply.reason)
            return bytes(reply.data)

        content = json.loads(await self._call(read)).get("content", [])
        return _output([_line(item) for item in content])

    async def put_pool(self, name: str, slots: int) -> None:
        """Make the pool, or give it that many slots."""
        api = PoolApi(self._client)
        body = PoolBody(name=name, slots=slots, description="", include_deferred=False)
        try:
            await self._call(lambda: api.post_pool(body, **_options()))
        except ExistsError:
            patch = PoolPatchBody(pool=name, slots=slots, include_deferred=False)
            await self._call(
                lambda: api.patch_pool(name, patch, update_mask=["slots"], **_options())
            )

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        """Let a DAG start nothing, or start again."""
        api = DAGApi(self._client)
        body = DAGPatchBody(is_paused=paused)
        await self._call(
            lambda: api.patch_dag(dag_id, body, update_mask=["is_paused"], **_options())
        )

    async def import_errors(self) -> list[tuple[str, str]]:
        """Return which DAG files cannot be read, and why."""
        api = ImportErrorApi(self._client)
        found = await self._call(lambda: api.get_import_errors(**_options()))
        return [(str(e.filename), str(e.stack_trace)) for e in found.import_errors]

    async def health(self) -> dict[str, str]:
        """Return the state of each part of Airflow that runs here."""
        api = MonitorApi(self._client)
        found = (await self._call(lambda: api.get_health(**_options()))).to_dict()
        parts = {name: (part or {}).get("status") for name, part in found.items()}
        return {name: str(status) for name, status in parts.items() if status is not None}

    def close(self) -> None:
        """Let go of the connections."""
        self._client.rest_client.pool_manager.clear()

    def _runs(self) -> DagRunApi:
        return DagRunApi(self._client)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._translated, call)

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            return self._as_user(call)
        except exceptions.ApiException as error:
            raise _ours(error, self.url) from error
        except HTTPError as error:
            text = f"Airflow does not answer at {self.url}: {_short(error)}"
            raise OrchestratorAwayError(text) from error
        except (ValidationError, ValueError) as error:
            raise OrchestratorAwayError(
                f"Airflow at {self.url} answered what its client cannot read: {_short(error)}"
            ) from error

    def _as_user(self, call: Callable[[], T]) -> T:
        token = self._client.configuration.access_token
        if token is None:
            token = self._renew(None)
        try:
            return call()
        except (exceptions.UnauthorizedException, exceptions.ForbiddenException):
            self._renew(token)  # 401 for an old token, 403 for one that another Airflow has signed
            return call()

    def _renew(self, refused: str | None) -> str:
        with self._lock:
            configuration = self._client.configuration
            if configuration.access_token is None or configuration.access_token == refused:
                configuration.access_token = self._token()
            return str(configuration.access_token)

    def _token(self) -> str:
        reply = self._client.rest_client.request(
            "POST",
            f"{self.url}/auth/token",
            headers={"Content-Type": "application/json"},
            body=self._login,
            _request_timeout=_TIMEOUT_S,
        )
        reply.read()
        if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            raise exceptions.ApiException(status=reply.status, reason=f"log-in: {reply.reason}")
        return str(json.loads(reply.data)["access_token"])


def _options() -> dict[str, Any]:
    return {"_request_timeout": _TIMEOUT_S}


def _ours(error: Any, url: str) -> RejectedError | OrchestratorAwayError:
    said = _short(error.body or error.reason or "")
    if error.status == 404:  # noqa: PLR2004 - HTTP
        return NotThereError(f"Airflow at {url} does not know it: {said}")
    if error.status == 409:  # noqa: PLR2004 - HTTP
        return ExistsError(f"Airflow at {url} has it already: {said}")
    if error.status in (401, 403):
        return OrchestratorAwayError(
            f"Airflow at {url} refuses user and password, or the role is not `op` "
            f"(HTTP {error.status}): {said}; check airflow_password in credentials.json"
        )
    if error.status in (400, 422):
        return RejectedError(f"Airflow at {url} refuses the request: {said}")
    return OrchestratorAwayError(f"Airflow at {url} answered HTTP {error.status}: {said}")


def _short(said: object) -> str:
    return " ".join(str(said).split())[:_SUM_UP]


def _line(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    event = str(item.get("event", ""))
    detail = item.get("error_detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        event += f": {detail[0].get('exc_type', '')}: {detail[0].get('exc_value', '')}"
    return event


def _output(lines: list[str]) -> list[str]:
    # Before "Output:" Airflow speaks of itself; a step that never came so far has only that to show.
    begins = max((at for at, line in enumerate(lines) if line == "Output:"), default=-1)
    return [line for line in lines[begins + 1 :] if not line.startswith(("::group", "::endgroup"))]
