# SPDX-License-Identifier: Apache-2.0
"""Find models for which time alone has made something due, because no message comes that would move them on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from mlops.chassis.bus import Documents
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AdvanceWindows
from mlops.monitoring.handlers.listening import Listening
from mlops.monitoring.model.windows import ModelKey, Phase, Watched, Window
from mlops.monitoring.ports import Ledger, Page, WatchedProject

_NOTED_EVERY_S = 900.0


class Ageing:
    """Asks for windows to be advanced; whoever hears it twice finds nothing due the second time."""

    def __init__(
        self, projects: Documents[WatchedProject], ledger: Ledger, listening: Listening
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._listening = listening

    async def tell(self) -> AsyncIterator[Message]:
        """Yield a command for each model of which a window is old enough or waits for labels no longer."""
        for model in await self._ledger.look(lambda page: page.models.all()):
            project = await self._projects.get(model.key.project) or WatchedProject()
            windows = await self._unfinished(model.key)
            if project.archived or not windows:
                continue
            listened_s = self._listening.to(model)
            if any(_is_due(one, model, project, listened_s) for one in windows):
                yield AdvanceWindows(project=model.key.project, model=model.key.model)
            elif listened_s - model.listened_s >= _NOTED_EVERY_S or any(map(_is_ageless, windows)):
                await self._note(model.key, listened_s)

    async def _unfinished(self, key: ModelKey) -> list[Window]:
        return await self._ledger.look(lambda page: page.windows.unfinished(key))

    async def _note(self, key: ModelKey, listened_s: float) -> None:
        # A model without traffic is listened to, too; after a restart its windows are as old as before. Those that
        # were open before windows had an age are as old as they are found.
        def change(page: Page) -> Sequence[Message]:
            known = page.models.get(key)
            if known is not None:
                page.models.put(replace(known, listened_s=max(listened_s, known.listened_s)))
            for window in filter(_is_ageless, page.windows.open(key)):
                page.windows.put(key, replace(window, open_at_s=listened_s))
            return []

        await self._ledger.apply(f"{key.project}/{key.model}:listened:{listened_s}", change)


def _is_ageless(window: Window) -> bool:
    return window.phase is Phase.OPEN and window.open_at_s is None


def _is_due(window: Window, model: Watched, project: WatchedProject, listened_s: float) -> bool:
    age, horizon = project.monitor.window_max_age, project.monitor.accuracy.label_horizon
    return window.aged(listened_s, None if age is None else age.total_seconds()) or window.due(
        model.windows_full, listened_s, None if horizon is None else horizon.total_seconds()
    )
