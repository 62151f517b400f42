# SPDX-License-Identifier: Apache-2.0
"""Calls about datasets: every version can be had again, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops.client.api.link import Json, Link
from mlops.client.errors import BadInputError

Targets = str | Sequence[str] | None


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

        *targets* (or *name*) names one dataset or several; none means all. A file that differs from every known
        version is never lost silently: with *force* it is put aside as `<name>.local` first, without *force* the
        service decides (and refuses with the reason).
        """
        names = self._names(targets or name)
        if force:
            for one in names:
                self._put_aside(one)
        return self._each("cmd.data.pull", "data.restored", names)

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

    def _put_aside(self, name: str) -> None:
        from mlops.client import project_file  # noqa: PLC0415 - as above

        found = project_file.load_project_file(self._folder)
        path = found.settings.data.datasets.get(name)
        if path and (local := found.folder / path).exists():
            local.rename(_free(local))


def _free(path: Path) -> Path:
    names = (f"{path.name}.local{number or ''}" for number in range(1000))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())
