# SPDX-License-Identifier: Apache-2.0
"""Registered models become versions, too: `model/<name>`, with the run that made them and an alias for each number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.tracking import ModelRegistered
from mlops.versioning.handlers.asked import Turns, versioned
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import MODEL_PREFIX, Content, Version
from mlops.versioning.ports import Models, Place, Registry

_LONGEST_NAME = 128
_FOLDER = "models"
# A model's event may overtake the one of its project, in life and when both waited for us; so long it is tried again.
_PATIENCE = timedelta(minutes=1)


class Artifacts:
    """What stands in the model registry, kept beside the data it was made of."""

    def __init__(
        self,
        projects: Projects,
        models: Models,
        versions: Registry,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._models = models
        self._versions = versions
        self._turns = turns
        self._clock = clock
        self._began = clock()

    async def on_model_registered(self, event: ModelRegistered) -> Sequence[Message]:
        """Keep the model's files; the same files again are the version they were."""
        # In the project's turn: no collection, removal or move of the remote comes between the files and the row.
        async with self._turns[event.project]:
            version = await self._versions.of_command(event.id) or await self._kept(event)
            if version is None:
                return []
            # The registry of models counts every registration, ours every content: the alias leads from one to the other.
            await self._versions.point(version, f"v{event.version}", f"{event.id}:alias")
        return [versioned(version)]

    async def _kept(self, event: ModelRegistered) -> Version | None:
        if len(MODEL_PREFIX) + len(event.name) > _LONGEST_NAME:
            _say_why_not(event, "its name is too long for a dataset")
            return None
        try:
            place = await self._projects.place_of(event.project)
        except RejectedError as error:
            if self._is_early(event):
                raise UnavailableError(str(error)) from error
            _say_why_not(event, str(error))
            return None
        content = await self._models.keep(place, event.name, event.version)
        if content is None:
            _say_why_not(event, "MLflow has no files of it")
            return None
        return await self._versions.remember(self._wished(event, place, content), event.id)

    def _is_early(self, event: ModelRegistered) -> bool:
        now = self._clock()
        return abs(now - event.time) < _PATIENCE or now - self._began < _PATIENCE

    def _wished(self, event: ModelRegistered, place: Place, content: Content) -> Version:
        return Version(
            project=event.project,
            name=f"{MODEL_PREFIX}{event.name}",
            version=1,
            path=f"{_FOLDER}/{event.name}",
            content=content,
            remote=place.remote,
            parent=None,
            run_id=event.run_id,
            created_at=self._clock(),
        )


def _say_why_not(event: ModelRegistered, reason: str) -> None:
    structlog.get_logger("models").warning(
        "model.unversioned",
        project=event.project,
        model=event.name,
        version=event.version,
        reason=reason,
    )
