# SPDX-License-Identifier: Apache-2.0
"""The world: what runs now, as last looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlops.serving.model.apps import App, app_name
from mlops.serving.model.room import NoRoom
from mlops.serving.ports import AppState, Deployment


@dataclass(frozen=True)
class World:
    """What runs now, and since when each application is told to run; and what there is no room for."""

    apps: Mapping[str, App]
    states: Mapping[str, AppState]
    since: Mapping[str, datetime]
    refused: Mapping[str, NoRoom] = field(default_factory=dict)

    def app(self, known: Deployment, version: int) -> tuple[App | None, AppState | None]:
        """Return the application of a version and how it does."""
        name = app_name(known.project, known.model, version)
        return self.apps.get(name), self.states.get(name)
