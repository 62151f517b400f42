# SPDX-License-Identifier: Apache-2.0
"""Datasets: what versioning tells of versions is kept here, so that a run's message names those it has read.

No other service is asked: the documents of the bucket `tracking_data` are what the events carried, found by content,
by path and by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import structlog

from mlops.chassis.bus import Documents
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Message, Part
from mlops.contracts.versioning import DataRestored, DataVersioned
from mlops.tracking.handlers.projects import TrackedProject
from mlops.tracking.model import datasets as model
from mlops.tracking.model.datasets import History, Version
from mlops.tracking.model.facts import Dataset, RunFacts
from mlops.tracking.ports import NamedData

_COMMIT = "mlflow.source.git.commit"


class KnownData(Part):
    """The document of a content, a path or a name of a project."""

    history: History = History()


class Datasets:
    """Keeps which versions there are, and says which ones a run has read."""

    def __init__(
        self,
        documents: Documents[KnownData],
        projects: Documents[TrackedProject],
        files: NamedData,
    ) -> None:
        self._documents = documents
        self._projects = projects
        self._files = files
        self._log = structlog.get_logger("datasets")

    async def on_data_versioned(self, event: DataVersioned) -> Sequence[Message]:
        """Remember the version, and that it stands at its path now."""
        return await self._remember(event)

    async def on_data_restored(self, event: DataRestored) -> Sequence[Message]:
        """Remember that an earlier version stands at its path again."""
        return await self._remember(event)

    async def named(self, project: str, run: RunFacts) -> RunFacts:
        """Return the run with the versions it has read; what cannot be told now is told as the client logged it."""
        if not run.inputs:
            return run
        try:
            found = [await self._read(project, run, logged) for logged in run.inputs]
        except (ChassisError, ValueError) as error:
            # ValueError: a text that cannot be written, or a document that this release cannot read.
            self._log.warning("datasets.unknown", project=project, reason=repr(error)[:500])
            found = list(run.inputs)
        return replace(run, inputs=model.unlike(found))

    async def _remember(self, event: DataVersioned | DataRestored) -> Sequence[Message]:
        stage = event.stage if isinstance(event, DataVersioned) else ""
        version = Version(event.name, event.version, event.hash, event.path, stage)

        def change(now: KnownData | None) -> KnownData:
            history = now.history if now else History()
            return KnownData(history=model.remembered(history, version, event.time))

        for key in _keys(event.project, version):
            await self._documents.change(key, change, applied=event.id)
        return []

    async def _read(self, project: str, run: RunFacts, logged: Dataset) -> Dataset:
        began = model.moment(run.started_ms)
        for address in model.addresses(logged):
            held = await self._history(_key(project, "content", address))
            if held and (exact := model.exact(logged, held, began)):
                return exact
        found = await self._of_dataset(project, logged)
        if found is None:
            return logged
        if exact := model.by_digest(logged, found):
            return exact
        version = model.stood(found, began)
        named = await self._named(project, run, logged, version.path) if version else []
        return model.likely(logged, found, began, model.moment(run.ended_ms), named)

    async def _of_dataset(self, project: str, logged: Dataset) -> History | None:
        if model.means_a_name(logged):
            return await self._history(_key(project, "name", logged.name))
        known = await self._projects.get(project)
        place = model.place_of(logged.source, known.folder if known else None)
        for path in model.places(place or ""):
            if found := await self._history(_key(project, "path", path)):
                return found
        return None

    async def _named(self, project: str, run: RunFacts, logged: Dataset, path: str) -> list[str]:
        known = await self._projects.get(project)
        if known is None or not known.folder:
            return []
        found = [await self._files.now(known.folder, path)]
        if not model.is_in_place(logged.source):
            # It may have run in another clone: then its commit says more than the folder here.
            commit = run.tags.get(_COMMIT, "")
            found.append(await self._files.committed(known.folder, commit, path))
        return [one for one in found if one is not None]

    async def _history(self, key: str) -> History | None:
        found = await self._documents.get(key)
        return found.history if found else None


def _keys(project: str, version: Version) -> Iterator[str]:
    yield _key(project, "content", version.address)
    yield _key(project, "path", version.path)
    yield _key(project, "name", version.name)


def _key(project: str, kind: str, text: str) -> str:
    # Names and paths hold what no key may.
    return f"{project}.{kind}.{hashlib.sha256(text.encode()).hexdigest()[:32]}"
