# SPDX-License-Identifier: Apache-2.0
"""What tracking answers about registered models when asked: models (of all projects) and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.chassis.bus import Question
from mlops.chassis.errors import RejectedError
from mlops.tracking.handlers import views
from mlops.tracking.handlers.queries import known_project
from mlops.tracking.handlers.questions import Asked
from mlops.tracking.model.facts import Package
from mlops.tracking.model.records import ModelRecord, is_labelled
from mlops.tracking.ports import Packages, Readings, Shelf

_MOST_MODELS = 500
_MOST_VERSIONS = 50
_BACKENDS = ("mlx", "mps", "coreml")
_YES = "yes"


class ModelQueries:
    """Read-only views of the registry across projects."""

    def __init__(self, shelf: Shelf, readings: Readings, packages: Packages) -> None:
        self._shelf = shelf
        self._readings = readings
        self._packages = packages

    async def models(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.models {project?, tag?, compatible?}`: what changed last first."""
        asked = Asked("models", question, "project", "tag", "compatible")
        project, tag = asked.text("project"), asked.pair("tag")
        backend = asked.choice("compatible", *_BACKENDS)
        found = await self._shelf.models(project, tag=tag, limit=_MOST_MODELS + 1)
        if not found and project is not None:
            await known_project(self._readings, project)
        shown = found[:_MOST_MODELS]
        packages = await self._of_models(shown)
        all_ = [
            views.model(record, packages.get((record.project, record.name))) for record in shown
        ]
        chosen = [view for view in all_ if backend is None or _says_yes(view, backend)]
        kept, left_out = views.within(chosen)
        return {"models": kept, "left_out": left_out + len(found) - len(shown)}

    async def model(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.tracking.model {project, name}`: with its newest versions."""
        asked = Asked("model", question, "project", "name")
        project = asked.needed("project", "{project, name}")
        name = asked.needed("name", "{project, name}")
        found = await self._shelf.models(project, name, limit=1)
        if not found:
            raise await self._unknown(project, name)
        (record,) = found
        versions = await self._shelf.versions(project, name, _MOST_VERSIONS + 1)
        sources = {(project, it.source_uri) for it in versions[:_MOST_VERSIONS]}
        shown = record.sources.get(record.shown or 0, "")
        packages = await self._packages.of([*sources, (project, shown)])
        told = [
            views.version(it, record.aliases, packages.get((project, it.source_uri)))
            for it in versions[:_MOST_VERSIONS]
        ]
        kept, left_out = views.within(told)
        more = left_out + (len(versions) > _MOST_VERSIONS)
        view = views.model(record, packages.get((project, shown)))
        return {"model": {**view, "versions": kept, "left_out": more}}

    async def _of_models(self, records: list[ModelRecord]) -> dict[tuple[str, str], Package]:
        wanted = {
            (record.project, record.name): (record.project, record.sources[record.shown])
            for record in records
            if record.shown is not None
            and record.shown in record.sources
            and not is_labelled(record.labels.get(record.shown, {}))
        }
        packages = await self._packages.of(list(wanted.values()))
        return {key: packages[source] for key, source in wanted.items() if source in packages}

    async def _unknown(self, project: str, name: str) -> RejectedError:
        await known_project(self._readings, project)
        names = [record.name for record in await self._shelf.models(project, limit=20)]
        exist = ", ".join(sorted(names)) or "none; register one first"
        return RejectedError(f"project {project!r} has no model {name!r}; it has {exist}")


def _says_yes(view: views.View, backend: str) -> bool:
    said = str(view["apple_compatibility"].get(backend, ""))
    return said == _YES or said.startswith(f"{_YES}:")
