# SPDX-License-Identifier: Apache-2.0
"""Calls about datasets: every version can be had again, byte for byte."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from mlops.client.api.link import Json, Link, Params
from mlops.client.aside import IN_THE_WAY, Aside, move_aside
from mlops.client.errors import BadInputError, MLOpsClientError, RefusedError

if TYPE_CHECKING:
    from mlops.client.datasets import Dataset

Targets = str | Sequence[str] | None
_LONGEST_S = 3600.0
_PULL = "cmd.data.pull"


class DataCalls(Link):
    """Datasets of the project."""

    def dvc_add(
        self, path: str, name: str = "", *, reread: bool = False, wait_s: float = _LONGEST_S
    ) -> Json:
        """Version the content of *path* (relative to the project); return `data.versioned`, within *wait_s*.

        The version is on the remote when this returns; unchanged content keeps its version. With *reread* every file
        is read again: one that was written through a memory map may have kept its size and times.
        Example: `client.dvc_add("data/rain.csv", name="rain")["data"]["version"]`
        """
        more = {"reread": True} if reread else {}
        wish = {"path": path, "name": name, **more}
        return self._done("cmd.data.add", wish, ("data.versioned",), timeout_s=wait_s)

    def dvc_push(
        self, name: Targets = None, *, targets: Targets = None, wait_s: float = _LONGEST_S
    ) -> Json:
        """Transfer what the remote lacks; return `data.pushed` of the last dataset.

        *targets* (or *name*) names one dataset or several; none means all of the project. At most *wait_s* for each.
        """
        done: Json = {}
        for one in self._names(targets or name):
            done = self._done("cmd.data.push", {"name": one}, ("data.pushed",), timeout_s=wait_s)
        return done

    def dvc_pull(
        self,
        name: Targets = None,
        *,
        targets: Targets = None,
        force: bool = False,
        wait_s: float = _LONGEST_S,
    ) -> Json:
        """Fetch the newest version of datasets into the project's folder; return `data.restored` of the last.

        *targets* (or *name*) names one dataset or several; none means all. At most *wait_s* for each. Changes that no
        version holds are refused; with *force* they are put aside as `<name>.local`, and back when the version is
        refused after all. Where no answer comes it may still come: they stay there, and the error says where.
        """
        done: Json = {}
        for one in self._names(targets or name):
            done = self._pulled(one, wait_s, force=force)
        return done

    def open_dataset(
        self,
        name: str,
        version: int | None = None,
        *,
        alias: str | None = None,
        project: str | None = None,
        wait_s: float = _LONGEST_S,
    ) -> Dataset:
        """Return a version of a dataset to read where it lies in the platform's cache: mapped, never copied.

        It is the newest without *version* or *alias*. The open run is told which version it reads. What only the
        remote holds is fetched into the cache first, at most *wait_s*. Where the platform's cache is not on this
        machine, the files are brought through the gateway into a cache of this user, once. Another *project*'s data
        can be read; the run is not told of those.

        Example: `table = client.open_dataset("rain", alias="golden").table()`
        """
        from mlops.client.datasets import opening  # noqa: PLC0415 - only who reads data needs it
        from mlops.client.system.datasets import PREFIX, opened  # noqa: PLC0415 - as above

        if version is not None and alias is not None:
            told = f"version {version} and alias {alias!r}"
            raise BadInputError("dataset", "open dataset", told, "give one of them")
        wanted = alias if version is None else str(version)
        asked: Params = {"project": project or self.project, "name": name}
        if wanted is not None:
            asked = {**asked, "version": wanted}
        path = "/api/v1/query/versioning/open"
        operation = f"open dataset {name}"

        def get(
            found: Mapping[str, Any], address: str, offset: int
        ) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
            wish = {"project": str(found["project"]), "name": str(found["name"]), "hash": address}
            wish["version"] = str(found["version"])
            return self._transport.stream("/api/v1/data/object", operation, wish, offset)

        found = opening.opened(lambda: self._get(path, operation, asked), wait_s, get)
        if found.project == self.project:
            tag = {f"{PREFIX}{found.name}": f"{found.version}@{found.hash}"}
            opened.note(found.project, tag, self._tell_run)
        return found

    def _tell_run(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run that is open here, ours or else MLflow's own."""
        if "mlops.client.runs" in sys.modules:
            from mlops.client.runs import current  # noqa: PLC0415 - who has no run does without

            if (run := current(self.project)) is not None:
                run.set_tags(tags)
                return
        mlflow = sys.modules.get("mlflow")
        if mlflow is not None and mlflow.active_run() is not None:
            mlflow.set_tags(dict(tags))

    def _pulled(self, name: str, wait_s: float, *, force: bool) -> Json:
        done = ("data.restored",)
        try:
            return self._done(_PULL, {"name": name}, done, timeout_s=wait_s)
        except RefusedError as error:
            if not force or IN_THE_WAY not in error.problem:
                raise
        aside = move_aside(self.get_workspace_path() / self._path_of(name))
        try:
            return self._done(_PULL, {"name": name}, done, timeout_s=wait_s)
        except BaseException as error:
            _put_back(aside, error)
            raise

    def _names(self, targets: Targets) -> list[str]:
        if isinstance(targets, str):
            return [targets]
        names = list(targets or self._datasets())
        if not names:
            hint = "name one, or add it to [data].datasets in mlops.toml"
            raise BadInputError("data", "find datasets", "the project names none", hint)
        return names

    def _datasets(self) -> dict[str, str]:
        from mlops.client import project_file  # noqa: PLC0415 - pydantic takes its time

        return dict(project_file.load_project_file(self._folder).settings.data.datasets)

    def _path_of(self, name: str) -> str:
        """Return the path of a dataset in the project's folder, as its newest version says."""
        asked: Params = {"project": self.project, "name": name, "limit": 1}
        found = self._get("/api/v1/query/versioning/versions", f"look at dataset {name}", asked)
        return str(found["versions"][-1]["path"])


def _put_back(aside: Aside, error: BaseException) -> None:
    """Put it back where the version is refused; else it may still come, and a file in its place would be in the way."""
    refused = isinstance(error, RefusedError) and error.operation == _PULL  # not our asking for it
    if refused and aside.put_back():
        return
    told = f"what was there is kept as {aside.kept}"
    if isinstance(error, MLOpsClientError):
        error.problem += f"; {told}"
    else:
        error.add_note(told)
