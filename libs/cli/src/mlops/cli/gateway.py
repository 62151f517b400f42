# SPDX-License-Identifier: Apache-2.0
"""Gateway: the one door through which the command asks and wishes; its refusals become errors of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from mlops.cli.errors import CliError, InputError, NotRunningError
from mlops.cli.home import Home, read_json

_CALL_S = 30.0
_REFUSED = {400, 404, 409, 413, 422}
_FIX = "start it with `mlops up`; `mlops status` tells what runs"


class Gateway:
    """An open connection to the gateway of an installation; use it in a `with`."""

    def __init__(self, home: Home) -> None:
        address = read_json(home.endpoints).get("gateway")
        token = read_json(home.credentials).get("gateway_token")
        if not address or not token:
            raise NotRunningError(f"no platform runs in {home.root}", _FIX)
        self._address = str(address)
        self._client = httpx.Client(
            base_url=self._address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_CALL_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, **question: str | float) -> Any:
        """Return the answer to a question."""
        wait_s = float(question.get("timeout_s", 0.0)) + _CALL_S
        return self._call("GET", path, params=question, timeout=wait_s)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Bring something."""
        return self._call("POST", path, json=body)

    def command(self, type_: str, project: str, data: Mapping[str, Any]) -> str:
        """Send a command; return its id once it is stored."""
        answer = self.post("/api/v1/commands", {"type": type_, "project": project, "data": data})
        return str(answer["id"])

    def result(
        self, command_id: str, types: Sequence[str], timeout_s: float
    ) -> list[dict[str, Any]]:
        """Return the events that a command caused, once one of *types* (or a refusal) is among them."""
        path = f"/api/v1/commands/{command_id}/result"
        found: list[dict[str, Any]] = self.get(path, timeout_s=timeout_s, type=",".join(types))
        return found

    def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise CliError(
                f"the gateway at {self._address} does not answer {path}", _FIX
            ) from error
        except httpx.HTTPError as error:
            raise NotRunningError(
                f"the gateway at {self._address} is away: {error}", _FIX
            ) from error
        if answer.is_success:
            return answer.json()
        raise refusal(answer.status_code, _body(answer), path)


def refusal(status: int, body: Mapping[str, Any], path: str) -> CliError:
    """Return the gateway's refusal as an error of ours."""
    told = body.get("error", body)
    if not isinstance(told, dict):
        told = {"what": str(told)}
    problems = "".join(f"\n  {one['field']}: {one['problem']}" for one in told.get("problems", ()))
    which = f": {told['which']}" if told.get("which") and not problems else ""
    what = f"{told.get('what') or f'the gateway answers {status} to {path}'}{which}{problems}"
    fix = str(told.get("fix", ""))
    return InputError(what, fix) if status in _REFUSED else CliError(what, fix)


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {"what": f"{answer.status_code} {answer.text[:300]}"}
    return found if isinstance(found, dict) else {"what": str(found)}
