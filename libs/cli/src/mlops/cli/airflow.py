# SPDX-License-Identifier: Apache-2.0
"""Airflow: the few wishes about its workers that a person has, sent as the platform's own user."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from mlops.cli.errors import CliError, DeniedError, InputError, NotRunningError
from mlops.cli.home import Home, read_json

_CALL_S = 20.0
_USER = "bridge"
_WORKERS = "/edge_worker/ui/worker"
_NO_SUCH, _REFUSED, _DENIED = 404, 400, (401, 403)
_FIX = "`mlops up --nodes` lets other machines work; `mlops status` tells what runs"


class Airflow:
    """An open connection to the Airflow of an installation; use it in a `with`."""

    def __init__(self, home: Home) -> None:
        import httpx  # noqa: PLC0415 - slow to import; help and completion do without

        self._trouble = httpx.HTTPError
        self.address = str(read_json(home.endpoints).get("airflow", ""))
        self._password = str(read_json(home.credentials).get("airflow_password", ""))
        if not self.address or not self._password:
            raise NotRunningError(f"{home.root} names no Airflow that could be asked", _FIX)
        self._client = httpx.Client(base_url=self.address, timeout=_CALL_S, trust_env=False)

    def __enter__(self) -> Self:
        """Show who asks."""
        login = {"username": _USER, "password": self._password}
        token = self._call("POST", "/auth/token", login)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._client.close()

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return every worker that Airflow knows, by name."""
        found = self._call("GET", _WORKERS).get("workers", [])
        return {str(one["worker_name"]): dict(one) for one in found}

    def drain(self, name: str, why: str) -> None:
        """Let a worker take nothing new; what runs on it goes on."""
        self._about(name, "POST", "/maintenance", {"maintenance_comment": why})

    def undrain(self, name: str) -> None:
        """Let a worker take work again."""
        self._about(name, "DELETE", "/maintenance")

    def remove(self, name: str) -> None:
        """Forget a worker that has ended."""
        self._about(name, "DELETE", "")

    def _about(self, name: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        if name not in (known := self.workers()):
            raise InputError(
                f"no machine {name!r} works here",
                f"there are: {', '.join(sorted(known)) or 'none'}; the installation's own has no worker",
            )
        self._call(method, f"{_WORKERS}/{quote(name, safe='')}{path}", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except self._trouble as error:
            raise NotRunningError(f"Airflow at {self.address} is away: {error}", _FIX) from error
        if answer.status_code in _DENIED:
            raise DeniedError(
                f"Airflow at {self.address} refuses the password of {_USER!r}",
                "look at airflow_password in credentials.json; a ticket may be too old",
            )
        try:
            found = answer.json() if answer.content else {}
        except ValueError as error:  # its own pages: the paths of workers are not there
            raise CliError("other machines do not work for this Airflow", _FIX) from error
        if answer.status_code == _REFUSED:
            raise InputError(
                str(found.get("detail", answer.text))[:500], "`mlops node list` shows it"
            )
        if not answer.is_success:
            told = (
                "has no such path"
                if answer.status_code == _NO_SUCH
                else f"answers {answer.text[:200]}"
            )
            raise CliError(f"Airflow at {self.address} {told}", _FIX)
        return found if isinstance(found, dict) else {}
