# SPDX-License-Identifier: Apache-2.0
"""Airflow's REST API through its generated client: one token, renewed when refused; vendor errors end here.

The client builds the requests. Its models of the answers are strict about fields that the bridge never reads, and a
server may be newer than the client: what the bridge needs of an answer is read here.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_client.client.api.dag_api import DAGApi
from airflow_client.client.api.dag_run_api import DagRunApi
from airflow_client.client.api.import_error_api import ImportErrorApi
from airflow_client.client.api.monitor_api import MonitorApi
from airflow_client.client.api.pool_api import PoolApi
from airflow_client.client.api.task_instance_api import TaskInstanceApi
from airflow_client.client.api_client import ApiClient
from airflow_client.client.configuration import Configuration
from airflow_client.client.models.dag_patch_body import DAGPatchBody
from airflow_client.client.models.dag_run_patch_body import DAGRunPatchBody
from airflow_client.client.models.pool_body import PoolBody
from airflow_client.client.models.pool_patch_body import PoolPatchBody
from airflow_client.client.models.trigger_dag_run_post_body import TriggerDAGRunPostBody
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError

from mlops.chassis.errors import RejectedError
from mlops.orchestration_bridge.errors import OrchestratorAwayError

_OPTIONS: dict[str, Any] = {"_request_timeout": (2.0, 15.0)}
_SUM_UP = 300
_CHUNK = 64 * 1024
_MOST_LINES = 1000
_LONGEST_LINE = 4000

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class NotThereError(RejectedError):
    """Airflow knows no such DAG, run, task or pool."""


class ExistsError(RejectedError):
    """Airflow has one of that name already."""


class DagRun(BaseModel):
    """A run as Airflow tells it."""

    state: str
    end_date: datetime | None = None


class Task(BaseModel):
    """A task of a run as Airflow tells it."""

    task_id: str
    state: str | None = None
    end_date: datetime | None = None
    try_number: int = 0
    map_index: int = -1


class AirflowRest:
    """The few calls the bridge needs; each blocks in a thread of its own and gives up after 15 s of silence."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        configuration = Configuration(host=self.url)
        configuration.retries = 0
        self._client = ApiClient(configuration)
        self._lock = threading.Lock()

    async def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run; ExistsError when there is one of that id, NotThereError without the DAG."""
        api = DagRunApi(self._client)
        body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=None, conf=conf)
        await self._ask(
            lambda: api.trigger_dag_run_without_preload_content(dag_id, body, **_OPTIONS)
        )

    async def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return the run."""
        api = DagRunApi(self._client)
        found = await self._ask(
            lambda: api.get_dag_run_without_preload_content(dag_id, run_id, **_OPTIONS)
        )
        return self._read(DagRun, found)

    async def fail_run(self, dag_id: str, run_id: str) -> None:
        """End a run; its tasks get SIGTERM."""
        api = DagRunApi(self._client)
        body = DAGRunPatchBody(state="failed")
        await self._ask(
            lambda: api.patch_dag_run_without_preload_content(
                dag_id, run_id, body, update_mask=["state"], **_OPTIONS
            )
        )

    async def task_instances(self, dag_id: str, run_id: str) -> list[Task]:
        """Return the tasks of a run."""
        api = TaskInstanceApi(self._client)
        found = await self._ask(
            lambda: api.get_task_instances_without_preload_content(dag_id, run_id, **_OPTIONS)
        )
        return [self._read(Task, one) for one in found.get("task_instances", [])]

    async def log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int = -1
    ) -> list[str]:
        """Return the last lines of a task's log; a command may write more than fits in memory."""
        api = TaskInstanceApi(self._client)
        options = {"map_index": map_index, "accept": "application/x-ndjson", **_OPTIONS}

        def read() -> list[str]:
            last: deque[str] = deque(maxlen=_MOST_LINES)
            with self._accepted(
                lambda: api.get_log_without_preload_content(
                    dag_id, run_id, task_id, try_number, **options
                )
            ) as reply:
                last.extend(_line(line)[:_LONGEST_LINE] for line in _lines(reply))
            return _output(list(last))

        return await asyncio.to_thread(self._translated, read)

    async def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> str | None:
        """Return what a task pushed under a key, as text; None when it pushed nothing."""
        names = (quote(name, safe="") for name in (dag_id, run_id, task_id, key))
        path = "/api/v2/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}".format(*names)
        try:
            found = await self.call("GET", path)
        except NotThereError:
            return None
        return str(found.get("value")).strip('"')

    async def put_pool(self, name: str, slots: int) -> None:
        """Make the pool, or give it that many slots."""
        api = PoolApi(self._client)
        body = PoolBody(name=name, slots=slots, description="", include_deferred=False)
        try:
            await self._ask(lambda: api.post_pool_without_preload_content(body, **_OPTIONS))
        except ExistsError:
            await self.resize_pool(name, slots)

    async def resize_pool(self, name: str, slots: int) -> None:
        """Give a pool that many slots; NotThereError without it."""
        api = PoolApi(self._client)
        patch = PoolPatchBody(pool=name, slots=slots, include_deferred=False)
        await self._ask(
            lambda: api.patch_pool_without_preload_content(
                name, patch, update_mask=["slots"], **_OPTIONS
            )
        )

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        """Let a DAG start nothing, or start again."""
        api = DAGApi(self._client)
        body = DAGPatchBody(is_paused=paused)
        await self._ask(
            lambda: api.patch_dag_without_preload_content(
                dag_id, body, update_mask=["is_paused"], **_OPTIONS
            )
        )

    async def import_errors(self) -> list[tuple[str, str]]:
        """Return which DAG files cannot be read, and why."""
        api = ImportErrorApi(self._client)
        found = await self._ask(lambda: api.get_import_errors_without_preload_content(**_OPTIONS))
        return [(str(e["filename"]), str(e["stack_trace"])) for e in found.get("import_errors", [])]

    async def health(self) -> dict[str, str]:
        """Return the state of each part of Airflow that runs here."""
        api = MonitorApi(self._client)
        found = await self._ask(lambda: api.get_health_without_preload_content(**_OPTIONS))
        parts = {name: (part or {}).get("status") for name, part in found.items()}
        return {name: str(status) for name, status in parts.items() if status is not None}

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask what the generated client does not know, such as what a provider adds; an answer may be empty."""

        def request() -> Any:
            token = self._client.configuration.access_token
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            return self._client.rest_client.request(
                method, f"{self.url}{path}", headers, body, _request_timeout=(2.0, 15.0)
            ).response

        return await self._ask(request)

    async def close(self) -> None:
        """Let go of the connections."""
        self._client.rest_client.pool_manager.clear()

    async def _ask(self, call: Callable[[], Any]) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            with self._accepted(call) as reply:
                found = json.loads(reply.data or b"{}")
            if found is None:
                return {}
            if not isinstance(found, dict):
                raise self._unreadable(found)
            return found

        return await asyncio.to_thread(self._translated, read)

    @contextmanager
    def _accepted(self, call: Callable[[], Any]) -> Iterator[Any]:
        """Make the call, a second time when the token is refused; the reply is given back at the end."""
        token = self._client.configuration.access_token or self._renew(None)
        reply = call()
        if reply.status in (401, 403):  # an old token, or one that another Airflow has signed
            reply.drain_conn()
            self._renew(token)
            reply = call()
        try:
            if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
                raise _ours(reply, self.url)
            yield reply
        finally:
            reply.release_conn()

    def _renew(self, refused: str | None) -> str:
        with self._lock:
            configuration = self._client.configuration
            if configuration.access_token is None or configuration.access_token == refused:
                configuration.access_token = self._token()
            return str(configuration.access_token)

    def _token(self) -> str:
        headers = {"Content-Type": "application/json"}
        reply = self._client.rest_client.request(
            "POST", f"{self.url}/auth/token", headers, self._login, _request_timeout=(2.0, 15.0)
        ).response
        if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            raise _ours(reply, self.url)
        return str(json.loads(reply.data)["access_token"])

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except HTTPError as error:
            raise OrchestratorAwayError(
                f"Airflow does not answer at {self.url}: {_short(error)}"
            ) from error
        except (ValueError, KeyError) as error:
            raise self._unreadable(error) from error

    def _read(self, kind: type[M], found: object) -> M:
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, said: object) -> OrchestratorAwayError:
        return OrchestratorAwayError(
            f"Airflow at {self.url} answered what the bridge cannot read: {_short(said)}"
        )


def _ours(reply: Any, url: str) -> RejectedError | OrchestratorAwayError:
    status, said = reply.status, _short(reply.data.decode(errors="replace") or reply.reason)
    if status == 404:  # noqa: PLR2004 - HTTP
        return NotThereError(f"Airflow at {url} does not know it: {said}")
    if status == 409:  # noqa: PLR2004 - HTTP
        return ExistsError(f"Airflow at {url} has it already: {said}")
    if status in (401, 403):
        return OrchestratorAwayError(
            f"Airflow at {url} refuses user and password, or the role is not `op` "
            f"(HTTP {status}): {said}; check airflow_password in credentials.json"
        )
    if status in (400, 422):
        return RejectedError(f"Airflow at {url} refuses the request: {said}")
    return OrchestratorAwayError(f"Airflow at {url} answered HTTP {status}: {said}")


def _short(said: object) -> str:
    return " ".join(str(said).split())[:_SUM_UP]


def _lines(reply: Any) -> Iterator[str]:
    rest = b""
    for chunk in reply.stream(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _line(text: str) -> str:
    try:
        item = json.loads(text)
    except ValueError:
        return text
    if not isinstance(item, dict):
        return str(item)
    event = str(item.get("event", ""))
    detail = item.get("error_detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        event += f": {detail[0].get('exc_type', '')}: {detail[0].get('exc_value', '')}"
    return event


def _output(lines: list[str]) -> list[str]:
    # Before "Output:" Airflow speaks of itself; a step that never came so far has only that to show.
    begins = next((at for at, line in enumerate(lines) if line == "Output:"), -1)
    return [line for line in lines[begins + 1 :] if not line.startswith(("::group", "::endgroup"))]
