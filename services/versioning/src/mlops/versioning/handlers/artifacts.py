# SPDX-License-Identifier: Apache-2.0
"""Registered models become versions, too: `model/<name>`, with the run that made them and an alias for each number."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.tracking import ModelRegistered
from mlops.versioning.handlers.asked import versioned
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import MODEL_PREFIX, Content, Version
from mlops.versioning.ports import Models, Place, Registry

_LONGEST_NAME = 128
_FOLDER = "models"


class Artifacts:
    """What stands in the model registry, kept beside the data it was made of."""

    def __init__(
        self, projects: Projects, models: Models, versions: Registry, clock: Clock
    ) -> None:
        self._projects = projects
        self._models = models
        self._versions = versions
        self._clock = clock

    async def on_model_registered(self, event: ModelRegistered) -> Sequence[Message]:
        """Keep the model's files; the same files again are the version they were."""
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
            _say_why_not(event, str(error))
            return None
        content = await self._models.keep(place, event.name, event.version)
        if content is None:
            _say_why_not(event, "MLflow has no files of it")
            return None
        return await self._versions.remember(self._wished(event, place, content), event.id)

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
