# SPDX-License-Identifier: Apache-2.0
"""EvidentlyReports: HTML reports by Evidently, which lives in a child process of its own."""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import timedelta
from pathlib import Path

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.model.windows import ModelKey
from mlops.monitoring.ports import Columns, ReportJob

WORKER = "mlops.monitoring.adapters.evidently_worker"
_LONGEST_NAME = 100


class EvidentlyReports:
    """Reports under *folder*, and as snapshots in the *workspace* that Evidently's own interface shows."""

    def __init__(
        self, folder: Path, workspace: Path, sidecar: Sidecar, *, timeout: timedelta, keep: int
    ) -> None:
        self._folder = folder
        self._workspace = workspace
        self._sidecar = sidecar
        self._timeout = timeout
        self._keep = keep

    def uri(self, key: ModelKey, name: str) -> str:
        """Return where the report of this name is, or will be."""
        return self._path(key, name).as_uri()

    def names(self, project: str) -> dict[str, str]:
        """Return the project's folder of reports and the id of its project in Evidently's interface."""
        return {
            "reports": str(self._folder / project),
            "evidently_project": str(_project_id(project)),
        }

    async def write(self, job: ReportJob, current: Columns, reference: Columns) -> int:
        """Write the report; return its size in bytes."""
        written = await self._sidecar.call(
            "report",
            self._timeout,
            path=str(self._path(job.key, job.name)),
            current={name: list(values) for name, values in current.items()},
            reference={name: list(values) for name, values in reference.items()},
            title=f"{job.key.model} v{job.version}: {job.kind}",
            keep=self._keep,
            workspace=str(self._workspace),
            project=job.key.project,
            project_id=str(_project_id(job.key.project)),
        )
        if not isinstance(written, int):
            raise RejectedError(
                f"report {job.name}: the writer answered {written!r} in place of a size"
            )
        return written

    def _path(self, key: ModelKey, name: str) -> Path:
        return self._folder / key.project / _folder_of(key.model) / f"{name}.html"


def _folder_of(model: str) -> str:
    """Return the model's name if a folder can have it, else one of its own that looks like it."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", model).strip(".")[:_LONGEST_NAME]
    if safe and safe == model:
        return safe
    return f"{safe}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def _project_id(project: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:evidently:{project}")
