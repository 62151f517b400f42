# SPDX-License-Identifier: Apache-2.0
"""Holding: requests for a model that is asleep wait, few and not for long, while serving wakes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from mlops.chassis.errors import ChassisError, RejectedError
from mlops.gateway.errors import CallerError
from mlops.gateway.model.places import Key, Places
from mlops.gateway.model.routing import Route
from mlops.gateway.ports import Routes

Wake = Callable[[str, str], Awaitable[None]]

_RETRY_AFTER_S = 2
_LATER_S = 30
_LOOK_S = 0.25
_ASK_AGAIN = 20  # looks between two wishes to wake: one may be lost


class Holding:
    """Holds requests; *most* of each model, each for *patience*. *wake* asks serving, and may raise RejectedError."""

    def __init__(self, routes: Routes, wake: Wake, most: int, patience: timedelta) -> None:
        self._routes = routes
        self._wake = wake
        self._places = Places(most)
        self._patience_s = patience.total_seconds()
        self._wakers: dict[Key, asyncio.Task[None]] = {}

    async def until_awake(self, route: Route) -> None:
        """Return once the model has a version that answers; CallerError 503 when it does not wake."""
        key = (route.project, route.model)
        if not self._places.take(key):
            raise _asleep(route, f"{self._places.most} requests wait for it", _RETRY_AFTER_S)
        try:
            async with asyncio.timeout(self._patience_s):
                await self._awake(key)
        except TimeoutError as error:
            told = f"it did not wake within {self._patience_s:g} s"
            raise _asleep(route, told, _RETRY_AFTER_S) from error
        except RejectedError as error:
            raise _asleep(route, str(error), _LATER_S) from error
        finally:
            self._places.leave(key)
            if key not in self._places.taken and (waker := self._wakers.pop(key, None)):
                waker.cancel()

    def as_json(self) -> list[dict[str, object]]:
        """Return how many requests wait for each model."""
        return [
            {"project": project, "model": model, "requests": count}
            for (project, model), count in sorted(self._places.taken.items())
        ]

    async def _awake(self, key: Key) -> None:
        while self._is_asleep(key):
            waker = self._wakers.get(key)
            if waker is None or waker.done():
                waker = self._wakers[key] = asyncio.create_task(self._waking(key))
            changed = asyncio.ensure_future(self._routes.changed())
            try:
                await asyncio.wait({changed, waker}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if waker.done():
                waker.result()  # what serving refuses, it refuses to all who wait

    async def _waking(self, key: Key) -> None:
        looks = 0
        while self._is_asleep(key):
            if looks % _ASK_AGAIN == 0:
                try:
                    await self._wake(*key)
                except RejectedError:
                    raise
                except (ChassisError, TimeoutError):
                    looks = -1  # serving is away: ask again at the next look
            looks += 1
            self._routes.refresh()
            await asyncio.sleep(_LOOK_S)

    def _is_asleep(self, key: Key) -> bool:
        route = self._routes.table.routes.get(key)
        if route is None:
            raise not_ready(".".join(key))
        return route.asleep or not route.targets  # its address may come a moment after it woke


def not_ready(model: str, version: int | None = None) -> CallerError:
    """Return the error for a model of which no version answers."""
    which = f"{model} version {version}" if version is not None else model
    return CallerError(
        503,
        "no version is ready",
        which,
        "try again shortly; `mlops status` shows its rollout",
        retry_after_s=_RETRY_AFTER_S,
    )


def _asleep(route: Route, why: str, retry_after_s: int) -> CallerError:
    return CallerError(
        503,
        "the model is asleep",
        f"{route.name}: {why}",
        "try again shortly; `mlops deployments` shows how it is",
        retry_after_s=retry_after_s,
    )
