# SPDX-License-Identifier: Apache-2.0
"""Calls about datasets: every version can be had again, byte for byte."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops.client.api.link import Json, Link, Params
from mlops.client.aside import IN_THE_WAY, move_aside
from mlops.client.errors import BadInputError, RefusedError

if TYPE_CHECKING:
    from mlops.client.datasets import Dataset

Targets = str | Sequence[str] | None
_FETCH_S = 3600.0


class DataCalls(Link):
    """Datasets of the project."""

    def dvc_add(self, path: str, name: str = "") -> Json:
        """Version the content of *path* (relative to the project); return `data.versioned`.

        The version is on the remote when this returns; unchanged content keeps its version.
        Example: `client.dvc_add("data/rain.csv", name="rain")["data"]["version"]`
        """
        return self._done("cmd.data.add", {"path": path, "name": name}, ("data.versioned",))

    def dvc_push(self, name: Targets = None, *, targets: Targets = None) -> Json:
        """Transfer what the remote lacks; return `data.pushed` of the last dataset.

        *targets* (or *name*) names one dataset or several; none means all of the project.
        """
        return self._each("cmd.data.push", "data.pushed", self._names(targets or name))

    def dvc_pull(
        self, name: Targets = None, *, targets: Targets = None, force: bool = False
    ) -> Json:
        """Fetch the newest version of datasets into the project's folder; return `data.restored` of the last.

        *targets* (or *name*) names one dataset or several; none means all. Changes that no version holds are refused;
        with *force* they are put aside as `<name>.local` (and back, when the version does not come after all).
        """
        done: Json = {}
        for one in self._names(targets or name):
            done = self._pulled(one, force=force)
        return done

    def open_dataset(
        self,
        name: str,
        version: int | None = None,
        *,
        alias: str | None = None,
        project: str | None = None,
        wait_s: float = _FETCH_S,
    ) -> Dataset:
        """Return a version of a dataset to read where it lies in the platform's cache: mapped, never copied.

        It is the newest without *version* or *alias*. The open run is told which version it reads. What only the
        remote holds is fetched into the cache first, at most *wait_s*. NotFoundError where the cache is not on this
        machine. Another *project*'s data can be read; the run is not told of those.

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
        found = opening.opened(lambda: self._get(path, f"open dataset {name}", asked), wait_s)
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

    def _pulled(self, name: str, *, force: bool) -> Json:
        wish = {"name": name}
        try:
            return self._done("cmd.data.pull", wish, ("data.restored",))
        except RefusedError as error:
            if not force or IN_THE_WAY not in error.problem:
                raise
        aside = move_aside(self.get_workspace_path() / self._path_of(name))
        try:
            return self._done("cmd.data.pull", wish, ("data.restored",))
        except BaseException:
            aside.put_back()
            raise

    def _each(self, type_: str, done: str, names: Sequence[str]) -> Json:
        told: Json = {}
        for one in names:
            told = self._done(type_, {"name": one}, (done,))
        return told

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
