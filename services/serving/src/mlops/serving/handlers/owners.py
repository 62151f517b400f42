# SPDX-License-Identifier: Apache-2.0
"""Who may use an endpoint: each belongs to one project."""

from __future__ import annotations

import re

from mlops.chassis.bus import Documents
from mlops.serving.errors import EndpointTakenError, UnknownModelError, UnknownProjectError
from mlops.serving.model.apps import endpoint, key_of
from mlops.serving.model.state import State, weights
from mlops.serving.ports import Deployment, Served

# No dot at the end and no two in a row: they separate the tokens of the document's key.
_MODEL = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


class Owners:
    """What is known of projects and of the models they serve."""

    def __init__(self, projects: Documents[Served], deployments: Documents[Deployment]) -> None:
        self._projects = projects
        self._deployments = deployments

    async def project(self, name: str) -> Served:
        """Return an open project; UnknownProjectError otherwise."""
        served = await self._projects.get(name)
        if served is None or served.archived:
            raise UnknownProjectError(
                f"project {name!r} is {'archived' if served else 'not registered'}; "
                "register it with `mlops register` in its folder"
            )
        return served

    async def deployment(self, project: str, model: str) -> Deployment:
        """Return what is known of a model; UnknownModelError when it was never served."""
        known = await self._deployments.get(key_of(project, model)) if is_name(model) else None
        if known is None:
            found = (await self._deployments.all()).values()
            models = ", ".join(sorted(one.model for one in found if one.project == project))
            raise UnknownModelError(
                f"project {project!r} has never served a model {model!r}; "
                f"it has: {models or 'none'}"
            )
        return known

    async def check_endpoint(self, project: str, model: str) -> None:
        """Raise unless *project* may answer under the endpoint of *model*."""
        if not is_name(model):
            raise UnknownModelError(
                f"model {model!r} cannot be an endpoint; use letters, digits and . _ - only, "
                "a letter or digit first, no dot last and no two together, at most 128"
            )
        owner = await self._owner(model, besides=project)
        if owner is not None:
            raise EndpointTakenError(
                f"endpoint {endpoint(model)} belongs to project {owner!r}; "
                "give the model another name, or archive that project"
            )

    async def _owner(self, model: str, besides: str) -> str | None:
        for name, served in (await self._projects.all()).items():
            has = served.settings.model == model and not served.archived and not served.refusal
            if has and name != besides:
                return name
        for one in (await self._deployments.all()).values():
            if one.model == model and one.project != besides and _answers(one.state):
                return one.project
        return None


def is_name(model: str) -> bool:
    """Return whether a model's name can be part of a path and of a document's key."""
    return _MODEL.fullmatch(model) is not None


def _answers(state: State) -> bool:
    return state.rollout is not None or bool(weights(state))
