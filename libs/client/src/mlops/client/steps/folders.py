# SPDX-License-Identifier: Apache-2.0
"""Folders: whole folders as artifacts of a run, through MLflow's proxy; one that is not all there is not there.

What it holds is listed, with sums, in a file that is stored last: another machine takes a folder only by that list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from mlops.client.steps.errors import DamagedError, PermanentError
from mlops.client.steps.patience import PatientHttp
from mlops.client.steps.tracking import Run

_PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
_LIST = "/api/2.0/mlflow/artifacts/list"
_CONTENTS = ".contents.json"
_CHUNK = 1 << 20
_LONGEST_S = 600.0


@dataclass(frozen=True)
class _File:
    """A file as a body that can be sent again."""

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk


class Folders:
    """The artifacts of one run."""

    def __init__(self, http: PatientHttp, run: Run) -> None:
        parts = urlsplit(run.artifact_uri)
        if parts.scheme not in ("mlflow-artifacts", "http", "https"):
            raise PermanentError(
                f"artifacts of run {run.run_id} are kept in {run.artifact_uri}, which other machines do not reach; "
                "let MLflow pass them on (mlflow server --serve-artifacts)"
            )
        below = parts.path.partition("/mlflow-artifacts/artifacts")[2] or parts.path
        self._root = _PROXY + quote(below.lstrip("/"))
        self._http = http
        self._run = run

    def put(self, path: str, folder: Path) -> int:
        """Store every file of *folder* below *path*, then the list of them; return how many bytes there are."""
        files = sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink())
        contents: dict[str, dict[str, Any]] = {}
        for file in files:
            name = file.relative_to(folder).as_posix()
            self._send(f"{path}/{name}", _File(file), file.stat().st_size)
            contents[name] = {"sha256": _sum(file), "bytes": file.stat().st_size}
        listed = json.dumps({"files": contents}, indent=1).encode()
        self._send(f"{path}/{_CONTENTS}", listed, len(listed))
        return sum(int(one["bytes"]) for one in contents.values())

    def get(self, path: str, folder: Path) -> bool:
        """Fetch what stands below *path* into *folder*; False, and nothing, where there is no whole folder."""
        contents = self._contents(path)
        if contents is None:
            return False
        for name, said in contents.items():
            file = folder / _inside(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._http.download(f"{self._root}/{quote(f'{path}/{name}')}", file)
            if _sum(file) != said.get("sha256"):
                raise DamagedError(f"artifact {path}/{name} of run {self._run.run_id} came damaged")
        return True

    def has(self, path: str) -> bool:
        """Return whether a whole folder stands below *path*."""
        return self._contents(path) is not None

    def sizes(self, path: str) -> dict[str, int] | None:
        """Return the bytes of each file of a whole folder below *path*, None where there is none."""
        contents = self._contents(path)
        if contents is None:
            return None
        try:
            return {name: max(0, int(said["bytes"])) for name, said in contents.items()}
        except (KeyError, TypeError, ValueError):
            return None  # not a list of ours

    def drop(self, path: str) -> None:
        """Remove what stands below *path*, where MLflow lets it; nobody waits for it."""
        self._http.once("DELETE", f"{self._root}/{quote(path)}")

    def names(self, path: str) -> list[str]:
        """Return the folders below *path*, whole or not."""
        return sorted(name for name, is_dir in self._listed(path).items() if is_dir)

    def _listed(self, path: str) -> dict[str, bool]:
        asked = {"run_id": self._run.run_id, "path": path}
        answer = self._http.call("GET", _LIST, params=asked)
        found = _accepted(answer, f"list {path}").json().get("files", [])
        return {PurePosixPath(one["path"]).name: bool(one.get("is_dir")) for one in found}

    def _contents(self, path: str) -> dict[str, dict[str, Any]] | None:
        if _CONTENTS not in self._listed(path):  # asked for, a missing file is no plain answer
            return None
        answer = self._http.call("GET", f"{self._root}/{quote(f'{path}/{_CONTENTS}')}")
        try:
            found = _accepted(answer, f"read {path}").json()["files"]
        except (ValueError, KeyError, TypeError):
            return None  # half a list: it was being written when somebody died
        return found if isinstance(found, dict) else None

    def _send(self, path: str, body: _File | bytes, size: int) -> None:
        address = f"{self._root}/{quote(path)}"
        headers = {"Content-Length": str(size)}
        answer = self._http.call("PUT", address, content=body, headers=headers, timeout=_LONGEST_S)
        _accepted(answer, f"store {path}")


def _accepted(answer: httpx.Response, what: str) -> httpx.Response:
    if answer.is_success:
        return answer
    raise PermanentError(f"MLflow will not {what}: HTTP {answer.status_code} {answer.text[:300]}")


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise PermanentError(f"artifact {name!r} would be written outside its folder")
    return path


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
