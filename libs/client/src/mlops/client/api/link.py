# SPDX-License-Identifier: Apache-2.0
"""Link: a project's way to the platform, made when a call needs it; an absent platform stops nobody from logging."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlops.client import endpoints
from mlops.client.endpoints import Endpoints
from mlops.client.errors import (
    MLOpsClientError,
    NoAnswerError,
    NotFoundError,
    NotRunningError,
    ProjectFileError,
    RefusedError,
)

if TYPE_CHECKING:
    import httpx

    from mlops.client.transport import Transport

Json = dict[str, Any]
Params = Mapping[str, str | float]

WAIT_S = 60.0
_AWAY_S = 60.0
_LOOK_S = 1.0


class Link:
    """What all calls share; `MLOpsClient` is made of the classes that build on it."""

    def __init__(
        self,
        project: str,
        where: Endpoints | None = None,
        *,
        folder: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.project = project
        self._folder = folder
        self._where = where
        self._given = transport
        self._made: Transport | None = None
        self._made_by = os.getpid()
        self._making = threading.Lock()

    def command(self, type_: str, data: Mapping[str, Any]) -> str:
        """Send any command of the catalogue; return its id once it is stored."""
        # The id is made here, so that a retry after a lost answer is the same command.
        body = {"id": str(uuid.uuid4()), "type": type_, "project": self.project, "data": dict(data)}
        return str(self._transport.post("/api/v1/commands", type_, body)["id"])

    def result(
        self, command_id: str, types: Sequence[str] = (), timeout_s: float = WAIT_S
    ) -> list[Json]:
        """Return the events that a command caused, once one of *types* (or a refusal) is among them."""
        params: Params = {"timeout_s": timeout_s, "type": ",".join(types)}
        path = f"/api/v1/commands/{part(command_id)}/result"
        return list(self._transport.get(path, "wait for the result", params, wait_s=timeout_s))

    def register(self, folder: Path | None = None) -> Json:
        """Make the project of *folder* known, or tell its changed settings; return the event that says so."""
        from mlops.client import project_file  # noqa: PLC0415 - pydantic takes its time

        found = project_file.load_project_file(folder or self._folder)
        data = {"settings": found.settings.model_dump(mode="json"), "path": str(found.folder)}
        self.project = found.name
        return self._done("cmd.project.register", data, ("project.registered", "project.updated"))

    def get_workspace_path(self) -> Path:
        """Return the folder of the project: where its file is here, else what it was registered with.

        Raises NotFoundError when neither is known.
        """
        from mlops.client import project_file  # noqa: PLC0415 - pydantic takes its time

        try:
            found = project_file.load_project_file(self._folder)
        except ProjectFileError:
            found = None
        if found is not None and found.name == self.project:
            return found.folder
        known = self._get(f"/api/v1/projects/{part(self.project)}", "look at the project")
        path = next((str(one["path"]) for one in known.get("projects", []) if one.get("path")), "")
        if not path:
            hint = "run `mlops register` in its folder"
            raise NotFoundError("project", "get workspace path", f"{self.project} has none", hint)
        return Path(path)

    @property
    def _transport(self) -> Transport:
        with self._making:
            if self._made_by != os.getpid():
                self._made = None  # a forked child must not talk on its parent's connection
            if self._made is None:
                from mlops.client.transport import Transport  # noqa: PLC0415 - httpx takes its time

                self._made = Transport(self._endpoints(), self._given)
                self._made_by = os.getpid()
            return self._made

    def _endpoints(self) -> Endpoints:
        if self._where is None:
            self._where = endpoints.load(self._folder)
        return self._where

    def _endpoints_or_none(self) -> Endpoints | None:
        try:
            return self._endpoints()
        except NotRunningError:
            return None

    def _hang_up(self) -> None:
        with self._making:
            if self._made is not None:
                self._made.close()
                self._made = None

    def _done(
        self,
        type_: str,
        data: Mapping[str, Any],
        types: Sequence[str],
        no: str = "command.refused",
        timeout_s: float = WAIT_S,
    ) -> Json:
        command, until = self.command(type_, data), time.monotonic() + timeout_s
        left = timeout_s
        while left >= 0:
            # One question after the other: a gateway holds none for as long as large data may take.
            for event in self._heard(command, (*types, no), min(left, WAIT_S)):
                if event["type"] in types:
                    return event
                if event["type"] in ("command.refused", no):
                    raise _refusal(event, type_)
            left = until - time.monotonic()
        hint = "see `mlops status`; the command is stored and will be done when its service is back"
        raise NoAnswerError(
            "platform", type_, f"no {' or '.join(types)} within {timeout_s:g} s", hint
        )

    def _heard(self, command: str, types: Sequence[str], wait_s: float) -> list[Json]:
        # The command is stored: a gateway that is started again meanwhile ends nothing.
        patient_until = time.monotonic() + min(wait_s, _AWAY_S)
        while True:
            try:
                return self.result(command, types, wait_s)
            except RefusedError:
                raise
            except MLOpsClientError:
                if time.monotonic() >= patient_until:
                    raise
            time.sleep(_LOOK_S)

    def _get(self, path: str, operation: str, params: Params | None = None) -> Any:
        return self._transport.get(path, operation, params)


def _refusal(event: Mapping[str, Any], type_: str) -> RefusedError:
    told = event["data"]
    who = told.get("refused_by") or str(event.get("source", "")).rpartition("/")[2]
    return RefusedError(str(who), type_, str(told["reason"]))


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")
