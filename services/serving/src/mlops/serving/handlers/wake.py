# SPDX-License-Identifier: Apache-2.0
"""Waking: somebody asks for a model that sleeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.serving.handlers.owners import Owners
from mlops.serving.ports import Waker


class Wakes:
    """Answers `query.serving.wake`."""

    def __init__(self, owners: Owners, waker: Waker) -> None:
        self._owners = owners
        self._waker = waker

    async def wake(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.wake {project, model}` at once; routes say when it answers."""
        project, model = str(question.get("project", "")), str(question.get("model", ""))
        known = await self._owners.deployment(project, model)
        nap = await self._waker.wake(known.project, known.model, "asked for by a request")
        return {
            "project": project,
            "model": model,
            "asleep": nap is not None,
            "since": nap.since.isoformat() if nap else None,
        }
