# SPDX-License-Identifier: Apache-2.0
"""Which runs read which versions, and the answer to who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.versioning import model
from mlops.versioning.model import Use, Version
from mlops.versioning.ports import Versions


class Lineage:
    """From runs to versions and back."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    async def on_run_completed(self, event: RunCompleted) -> Sequence[Message]:
        """Keep what the run says it has read."""
        uses = [await self._use(event, dataset) for dataset in event.datasets]
        if uses:
            await self._versions.record_uses(event.project, uses, event.ended_at or event.time)
        return []

    async def list_versions(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.versioning.versions {project, name?}`: versions, newest last, with their runs."""
        project = str(question.get("project", ""))
        if not project:
            raise RejectedError("which project? Ask with {project, name?}")
        name = str(question["name"]) if question.get("name") else None
        uses = await self._versions.uses(project)
        known = await self._versions.known(project, name)
        return {"versions": [_view(version, uses) for version in known]}

    async def _use(self, event: RunCompleted, dataset: DatasetVersion) -> Use:
        known = await self._versions.known(event.project, dataset.name)
        version = model.meant(known, dataset.version, dataset.hash)
        number = version.version if version else dataset.version
        return Use(event.run_id, dataset.name, number, dataset.hash)


def _view(version: Version, uses: Sequence[Use]) -> dict[str, Any]:
    return {
        "project": version.project,
        "name": version.name,
        "version": version.version,
        "hash": version.content.oid,
        "size_bytes": version.content.size_bytes,
        "files": version.content.files,
        "path": version.path,
        "remote": version.remote,
        "parent_version": version.parent,
        "run_id": version.run_id,
        "created_at": version.created_at.isoformat(),
        "used_by": [
            u.run_id for u in uses if (u.name, u.version) == (version.name, version.version)
        ],
    }
