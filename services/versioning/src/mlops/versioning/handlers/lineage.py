# SPDX-License-Identifier: Apache-2.0
"""Which runs read which versions, and the answer to who asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.versioning import model
from mlops.versioning.model import Use, Version
from mlops.versioning.ports import Registry

# An answer must fit into one message of the bus, after years too.
_USUAL = 100
_MOST = 200
_MOST_RUNS = 20


class Lineage:
    """From runs to versions and back."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_run_completed(self, event: RunCompleted) -> Sequence[Message]:
        """Keep what the run says it has read."""
        uses = [await self._use(event, dataset) for dataset in event.datasets]
        if uses:
            await self._registry.record_uses(event.project, uses, event.ended_at or event.time)
        return []

    async def list_versions(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.versioning.versions {project, name?, limit?}`: the newest versions, newest last."""
        project = str(question.get("project", ""))
        if not project:
            raise RejectedError("which project? Ask with {project, name?, limit?}")
        name = str(question["name"]) if question.get("name") else None
        limit = _limit(question)
        known = await self._registry.known(project, name)
        newest = sorted(known, key=lambda version: version.created_at)[-limit:]
        runs: defaultdict[tuple[str, int | None], list[str]] = defaultdict(list)
        for use in await self._registry.uses(project):
            runs[use.name, use.version].append(use.run_id)
        shown = sorted(newest, key=lambda version: (version.name, version.version))
        aliases = await self._registry.aliases(project, name)
        views = [
            {
                **_view(version, runs[version.name, version.version]),
                "aliases": model.labels_of(version, known, aliases),
            }
            for version in shown
        ]
        return {"versions": views, "older": len(known) - len(newest)}

    async def _use(self, event: RunCompleted, dataset: DatasetVersion) -> Use:
        # A version that was given up meanwhile is still what the run has read. One that it only likely has counts, too:
        # it is kept from being removed.
        known = await self._registry.known(event.project, dataset.name, removed=True)
        said = dataset.version or dataset.likely_version
        version = model.read_by(known, said, dataset.hash)
        number = version.version if version else said
        return Use(event.run_id, dataset.name, number, dataset.hash)


def _limit(question: Mapping[str, Any]) -> int:
    limit = question.get("limit", _USUAL)
    if isinstance(limit, str) and limit.isascii() and limit.isdigit():
        limit = int(limit)  # asked over HTTP, where everything is text
    if not isinstance(limit, int) or not 1 <= limit <= _MOST:
        raise RejectedError(f"limit must be a whole number from 1 to {_MOST}, not {limit!r}")
    return limit


def _view(version: Version, runs: Sequence[str]) -> dict[str, Any]:
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
        "stage": version.stage,
        "created_at": version.created_at.isoformat(),
        "tags": list(version.tags),
        "description": version.description,
        "used_by": list(runs[:_MOST_RUNS]),
        "uses": len(runs),
    }
