# SPDX-License-Identifier: Apache-2.0
"""The files Airflow reads: our DAG file and `registry.json` beside it, each replaced in one piece.

`airflow_local_settings.py` of this package is the third: Airflow reads it at its start, so whoever starts Airflow puts it
into the folder `config` of its home.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mlops.orchestration_bridge.errors import OrchestratorAwayError

DAG_FILE = "mlops_projects.py"
REGISTRY_FILE = "registry.json"

Projects = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Installation:
    """Where DAG files stand, and what a step needs to run there."""

    dags: Path
    home: Path
    python: str

    def prepare(self) -> None:
        """Put our DAG file in place: Airflow finds a new file only every half minute, so it should be there early."""
        self._change(lambda projects: projects)

    def put(self, project: str, settings: dict[str, Any]) -> None:
        """Write the project's entry and let Airflow read it within a second or two."""
        self._change(lambda projects: {**projects, project: settings})

    def remove(self, project: str) -> None:
        """Take the project's entry out."""
        self._change(lambda projects: {k: v for k, v in projects.items() if k != project})

    def stand_in(self, pool: str) -> None:
        """Let heavy steps stand in that pool; the pool must be there, or they would wait for ever and say nothing."""
        if self._content().get("node_pool") != pool:
            self._change(lambda projects: projects, node_pool=pool)

    def reach(self, node: str) -> None:
        """Let steps that were placed on that machine go to its own queue; its pool must be there."""
        known = _names(self._content())
        if node not in known:
            self._change(lambda projects: projects, machines=sorted({*known, node}))

    def texts(self) -> dict[str, str]:
        """Return the files that a machine needs which runs steps for this Airflow, by name."""
        try:
            return {name: (self.dags / name).read_text() for name in (DAG_FILE, REGISTRY_FILE)}
        except OSError as error:
            raise OrchestratorAwayError(
                f"cannot read {error.filename}: {error.strerror}"
            ) from error

    def _change(self, change: Callable[[Projects], Projects], **others: Any) -> None:
        try:
            self.dags.mkdir(parents=True, exist_ok=True)
            with (self.dags / f".{REGISTRY_FILE}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._write(change, others)
        except OSError as error:
            raise OrchestratorAwayError(
                f"cannot write {error.filename or self.dags}: {error.strerror}; "
                "make the DAG folder writable or free some space"
            ) from error

    def _write(self, change: Callable[[Projects], Projects], others: dict[str, Any]) -> None:
        before = self._content()
        known = before.get("projects")
        content = {
            "home": str(self.home),
            "python": self.python,
            "node_pool": before.get("node_pool", ""),
            "machines": _names(before),
            **others,
            "projects": dict(sorted(change(known if isinstance(known, dict) else {}).items())),
        }
        _replace(self.dags / REGISTRY_FILE, json.dumps(content, indent=1) + "\n")
        dag_file = self.dags / DAG_FILE
        code = files(__package__).joinpath("airflow_dags.py").read_text()
        if not dag_file.exists() or dag_file.read_text() != code:
            _replace(dag_file, code)
        os.utime(dag_file)  # a touched file is read at once, an old one only every half minute

    def _content(self) -> dict[str, Any]:
        path = self.dags / REGISTRY_FILE
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text())
        except ValueError:
            # Half a file cannot come from us; every project writes its entry again when it is asked to run.
            return {}
        return found if isinstance(found, dict) else {}


def _names(content: dict[str, Any]) -> list[str]:
    found = content.get("machines")
    return [str(name) for name in found] if isinstance(found, list) else []


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
