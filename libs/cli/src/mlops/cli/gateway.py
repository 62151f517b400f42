# SPDX-License-Identifier: Apache-2.0
"""Gateway: the one door through which the command asks and wishes; its refusals become errors of ours.

`MLOPS_GATEWAY_URL` and `MLOPS_TOKEN` name a platform on another machine; otherwise the home folder does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlops.cli.errors import CliError, DeniedError, InputError, NotRunningError
from mlops.cli.home import Home
from mlops.client import endpoints
from mlops.client.errors import BadInputError
from mlops.client.errors import NotRunningError as NoPlatformError

if TYPE_CHECKING:
    import httpx

_CALL_S = 30.0
_DENIED = {401, 403}
_REFUSED = {400, 404, 409, 413, 415, 422}
_FIX = "start it with `mlops up`, or set MLOPS_GATEWAY_URL and MLOPS_TOKEN; `mlops status` tells what runs"


class Gateway:
    """An open connection to the gateway of an installation; use it in a `with`."""

    def __init__(self, home: Home, call_s: float = _CALL_S) -> None:
        import httpx  # noqa: PLC0415 - slow to import; help and completion do without

        self._errors = (httpx.TimeoutException, httpx.HTTPError)
        self.address, self.token = where(home)
        self._call_s = call_s
        try:
            self._client = httpx.Client(
                base_url=self.address,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=call_s,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise InputError(
                f"{self.address!r} is no address: {error}", "correct MLOPS_GATEWAY_URL"
            ) from error

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
        wait_s = float(question.get("timeout_s", 0.0)) + self._call_s
        return self._call("GET", path, params=question, timeout=wait_s)

    def query(self, service: str, verb: str, **question: str | float | None) -> dict[str, Any]:
        """Return what a service answers; parts of the question that are None or empty are left out."""
        given = {name: value for name, value in question.items() if value not in (None, "")}
        found = self._call("GET", f"/api/v1/query/{service}/{verb}", params=given)
        return found if isinstance(found, dict) else {}

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Bring something."""
        return self._call("POST", path, json=body)

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Store a table with the platform; return its `uri`, `sha256` and `bytes`."""
        found = self._call("POST", "/api/v1/files", params={"name": name}, content=content)
        return dict(found)

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
        late, away = self._errors
        try:
            answer = self._client.request(method, path, **request)
        except late as error:
            raise CliError(f"the gateway at {self.address} does not answer {path}", _FIX) from error
        except away as error:
            raise NotRunningError(
                f"the gateway at {self.address} is away: {error}", _FIX
            ) from error
        if not answer.is_success:
            raise refusal(answer.status_code, _body(answer), path)
        try:
            return answer.json()
        except ValueError as error:
            raise CliError(
                f"what answers at {self.address} is not the gateway: {answer.text[:200]!r}",
                "another program may have its address; see `mlops status`",
            ) from error


def where(home: Home) -> tuple[str, str]:
    """Return the address and the token of the gateway; NotRunningError when there is none."""
    try:
        found = endpoints.load(environ={**os.environ, "MLOPS_HOME": str(home.root)})
    except BadInputError as error:
        raise InputError(error.problem, error.hint) from error
    except NoPlatformError as error:
        raise NotRunningError(error.problem, _FIX) from error
    return found.gateway, found.token


def refusal(status: int, body: Mapping[str, Any], path: str) -> CliError:
    """Return the gateway's refusal as an error of ours."""
    told = body.get("error", body)
    if not isinstance(told, dict):
        told = {"what": str(told)}
    problems = "".join(
        f"\n  {one.get('field')}: {one.get('problem')}" for one in told.get("problems") or ()
    )
    which = f": {told['which']}" if told.get("which") and not problems else ""
    what = f"{told.get('what') or f'the gateway answers {status} to {path}'}{which}{problems}"
    fix = str(told.get("fix", ""))
    if status in _DENIED:
        return DeniedError(what, fix)
    return InputError(what, fix) if status in _REFUSED else CliError(what, fix)


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {"what": f"{answer.status_code} {answer.text[:300]}"}
    return found if isinstance(found, dict) else {"what": str(found)}
