# SPDX-License-Identifier: Apache-2.0
"""EvidentlyReports: HTML reports by Evidently, which lives in a child process of its own."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports import Columns, ReportJob

WORKER = "mlops.monitoring.adapters.evidently_worker"
_LONGEST_NAME = 100


class EvidentlyReports:
    """Reports under *folder*, and as snapshots in the *workspace* that Evidently's own interface shows."""

    def __init__(
        self,
        folder: Place,
        workspace: Place,
        sidecar: Sidecar,
        *,
        timeout: timedelta,
        keep: int,
        keep_for: timedelta,
    ) -> None:
        self._folder = folder
        self._workspace = workspace
        self._sidecar = sidecar
        self._timeout = timeout
        self._keep = keep
        self._keep_days = keep_for / timedelta(days=1)

    def uri(self, key: ModelKey, name: str) -> str:
        """Return where the report of this name is, or will be."""
        return self._page(key, name).uri

    def names(self, project: str) -> dict[str, str]:
        """Return the project's folder of reports and what its models are called in Evidently's interface."""
        return {
            "reports": self._folder.at(project).address,
            "evidently_projects": shown_as(ModelKey(project, "<model>")),
        }

    async def write(
        self, job: ReportJob, current: Columns, reference: Columns, remarks: Sequence[str] = ()
    ) -> int:
        """Write the report; return its size in bytes."""
        written = await self._sidecar.call(
            "report",
            self._timeout,
            path=self._page(job.key, job.name).address,
            title=f"{job.key.model} v{job.version}: {job.kind}",
            remarks=list(remarks),
            **self._shown(job.key, current, reference),
        )
        if not isinstance(written, int):
            raise RejectedError(
                f"report {job.name}: the writer answered {written!r} in place of a size"
            )
        return written

    async def snapshot(
        self, key: ModelKey, window: Window, current: Columns, reference: Columns
    ) -> None:
        """Keep the figures of a window for Evidently's curves; pictures are made for reports only."""
        if window.last_at is None:
            raise RejectedError(f"window {window.number} of {key.model!r} is empty")
        await self._sidecar.call(
            "snapshot",
            self._timeout,
            title=f"{key.model} v{window.version}: window {window.index}",
            at=window.last_at.isoformat(),
            **self._shown(key, current, reference),
        )

    def _shown(self, key: ModelKey, current: Columns, reference: Columns) -> dict[str, Any]:
        return {
            "current": {name: list(values) for name, values in current.items()},
            "reference": {name: list(values) for name, values in reference.items()},
            "keep": self._keep,
            "keep_days": self._keep_days,
            "workspace": self._workspace.address,
            "project": shown_as(key),
            "project_id": str(project_id(key)),
        }

    def _page(self, key: ModelKey, name: str) -> Place:
        return self._folder.at(key.project, _folder_of(key.model), f"{name}.html")


def _folder_of(model: str) -> str:
    """Return the model's name if a folder can have it, else one of its own that looks like it."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", model).strip(".")[:_LONGEST_NAME]
    if safe and safe == model:
        return safe
    return f"{safe}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def shown_as(key: ModelKey) -> str:
    """Return what a model is called in Evidently's interface."""
    return f"{key.project} / {key.model}"


def project_id(key: ModelKey) -> uuid.UUID:
    """Return the id of a model's project in Evidently's interface: always the same."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:evidently:{key.project}:{key.model}")
