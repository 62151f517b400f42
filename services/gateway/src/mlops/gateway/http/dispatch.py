# SPDX-License-Identifier: Apache-2.0
"""Dispatcher: sends one request to a version chosen by weight, once more if that one is in trouble.

A version of which nothing answers is waited for, where no other can stand in. Whoever has waited goes on a few at a
time: all at once they would be more than a replica lets wait. Who was turned away for that comes again a moment later:
while a replica is replaced requests also gather in the proxy before it, which lets all of them go at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlops.gateway.errors import CallerError
from mlops.gateway.http.holding import Holding, not_ready
from mlops.gateway.http.outages import Outages
from mlops.gateway.http.traffic import Traffic
from mlops.gateway.model.places import Key, Places
from mlops.gateway.model.routing import RetryBudget, Route, Shadow, Target, is_trouble
from mlops.gateway.ports import (
    LostReplicaError,
    Meter,
    Replicas,
    Reply,
    Routes,
    SlowReplicaError,
)

_PAUSE_S = 0.05  # long enough for a fresh routing table to come in
_CROWD_S = 0.5
_SHOWN = 300
_LET_IN = 16
_AFTER_SLEEP = 3  # tries more
_NOT_FOUND, _TOO_MANY, _NOT_READY, _TOO_SLOW = 404, 429, 503, 504


@dataclass(frozen=True)
class Asked:
    """What is to be sent; `path` stands behind the replica's address, `counts` whether it is inference."""

    route: Route
    pinned: str | None
    method: str
    path: str
    body: bytes | bytearray
    headers: Mapping[str, str]
    counts: bool


@dataclass(frozen=True)
class Answered:
    """What came back, from which version, and how long that took; *shadow* is to get a copy."""

    reply: Reply
    version: int
    took_ms: float
    shadow: Shadow | None = None


@dataclass(frozen=True)
class _Try:
    """One try: what came, or why nothing did."""

    target: Target
    reply: Reply | None = None
    trouble: str = ""
    took_ms: float = 0.0


class Dispatcher:
    """Sends requests to replicas, and counts how each version does; *most* are under way to each model."""

    def __init__(
        self,
        routes: Routes,
        replicas: Replicas,
        holding: Holding,
        outages: Outages,
        traffic: Traffic,
        meter: Meter,
        draw: Callable[[], float],
        most: int,
    ) -> None:
        self._routes = routes
        self._replicas = replicas
        self._holding = holding
        self._outages = outages
        self._gates: defaultdict[Key, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_LET_IN)
        )
        self._traffic = traffic
        self._meter = meter
        self._draw = draw
        self._places = Places(most)
        self._budget = RetryBudget()

    async def send(self, asked: Asked) -> Answered:
        """Return the answer; CallerError 429 when too many are under way, 502 when two tries failed, 504 when slow.

        503 without a version that answers; a model that is asleep is woken first.
        """
        slept = asked.route.asleep
        if slept:
            await self._holding.until_awake(asked.route)
        key = (asked.route.project, asked.route.model)
        if not self._places.take(key):
            raise _busy(asked, self._places.most)
        reply: Reply | None = None
        try:
            answered = await self._send(asked, slept=slept)
            reply = answered.reply
        finally:
            if reply is None or reply.rest is None:
                self._places.leave(key)
            else:
                reply.at_close.insert(0, lambda: self._places.leave(key))
        return answered

    async def _send(self, asked: Asked, *, slept: bool) -> Answered:
        self._budget.earn()
        tried = await self._tried(asked, None, waited=slept)
        # Who waited for a model that woke is one of few, and often before the proxy knows of it: no overload to bound.
        for _ in range(_AFTER_SLEEP if slept else 1):
            if not (_is_worth_another(asked, tried) and (slept or self._budget.spend())):
                break
            self._meter.retried(asked.route.project, asked.route.model)
            await _closed(tried)
            tried = await self._again(asked, tried)
        reply = tried.reply
        if reply is None or (tried.trouble and not _passes_on(reply)):
            await _closed(tried)
            raise _failed(asked, tried)
        return Answered(
            reply, tried.target.version, tried.took_ms, self._shadow(asked, reply.status)
        )

    async def _again(self, asked: Asked, failed: _Try) -> _Try:
        if _is_turned_away(failed.reply):
            await asyncio.sleep(_CROWD_S)
            return await self._tried(asked, None, waited=True)
        self._routes.refresh()
        is_gone = _is_gone(failed.reply)
        if is_gone:
            self._outages.doubt(asked.route, failed.target)
        await asyncio.sleep(_PAUSE_S)
        return await self._tried(asked, failed.target.version, doubts=is_gone)

    async def _tried(
        self, asked: Asked, avoid: int | None, *, waited: bool = False, doubts: bool = False
    ) -> _Try:
        target = self._target(asked, avoid)
        if asked.counts and (doubts or self._outages.is_out(target)):
            target, waited = await self._answering(asked, target, doubts=doubts)
        if not waited:
            return await self._try(asked, target)
        async with self._gates[asked.route.project, asked.route.model]:
            return await self._try(asked, target)

    async def _answering(
        self, asked: Asked, target: Target, *, doubts: bool
    ) -> tuple[Target, bool]:
        """Return a version that answers, and whether it was waited for."""
        if doubts:  # there is no third try, and what hit one version may have shut the door to all
            self._outages.doubt(asked.route, target)
        else:
            other = self._target(asked, target.version)
            if not self._outages.is_out(other):
                return other, False
        await self._outages.until_over(target)
        route = self._route(asked)
        if route is not None and any(one.url == target.url for one in route.targets):
            return target, True
        return self._target(asked, None), True

    def _target(self, asked: Asked, avoid: int | None) -> Target:
        route = self._route(asked)
        if route is None:
            raise not_ready(asked.route.name)
        if asked.pinned is not None:
            return _pinned(route, asked.pinned)
        target = route.choose(self._draw(), avoid)
        if target is None:
            raise not_ready(asked.route.name)
        return target

    def _route(self, asked: Asked) -> Route | None:
        return self._routes.table.routes.get((asked.route.project, asked.route.model))

    def _shadow(self, asked: Asked, status: int) -> Shadow | None:
        route = self._route(asked)
        if route is None or route.shadow is None or not asked.counts or status >= 400:  # noqa: PLR2004 - HTTP
            return None
        return route.shadow if self._draw() < route.shadow.share else None

    async def _try(self, asked: Asked, target: Target) -> _Try:
        began = time.perf_counter()
        reply: Reply | None = None
        failed, trouble = True, ""
        try:
            reply = await self._replicas.send(
                asked.method, target.url + asked.path, asked.body, asked.headers
            )
            in_trouble = is_trouble(reply.status, reply.headers.get("Content-Type", ""))
            failed = in_trouble or reply.status >= 500  # noqa: PLR2004 - HTTP
            trouble = _words(reply) if in_trouble else ""
        except LostReplicaError as error:
            trouble = str(error)
        except SlowReplicaError as error:
            raise _slow(asked, target, str(error)) from error
        finally:
            took_ms = (time.perf_counter() - began) * 1000
            if asked.counts:
                key = (asked.route.project, asked.route.model, target.version)
                shed = reply is not None and reply.status == _TOO_MANY
                self._traffic.count(key, failed=failed, latency_ms=took_ms, shed=shed)
        return _Try(target, reply, trouble, took_ms)


def _pinned(route: Route, version: str) -> Target:
    for target in route.targets:
        if str(target.version) == version and target.url:
            return target
    running = ", ".join(str(target.version) for target in route.targets)
    raise CallerError(
        404,
        "this version does not run",
        f"{route.name} version {version[:40]}",
        f"running: {running or 'none'}",
    )


def _is_own(reply: Reply) -> bool:
    """Return whether these are a replica's own words; those of HAProxy are a page."""
    return reply.headers.get("Content-Type", "").startswith("application/json")


def _is_gone(reply: Reply | None) -> bool:
    """Return whether nobody answered but a proxy, or a replica that is about to go."""
    return reply is None or reply.status == _NOT_READY or not _is_own(reply)


def _is_worth_another(asked: Asked, tried: _Try) -> bool:
    if _is_turned_away(tried.reply):
        return asked.counts
    return bool(tried.trouble) and not _is_slow(tried.reply)


def _is_turned_away(reply: Reply | None) -> bool:
    """Return whether a replica has too many requests already."""
    return reply is not None and reply.status == _TOO_MANY


def _is_slow(reply: Reply | None) -> bool:
    """Return whether a replica says that its model is slow; another try would only add load."""
    return reply is not None and reply.status == _TOO_SLOW and _is_own(reply)


def _passes_on(reply: Reply) -> bool:
    """Return whether the caller gets a replica's own words about its trouble."""
    return reply.status in (_NOT_READY, _TOO_SLOW) and _is_own(reply)


async def _closed(tried: _Try) -> None:
    if tried.reply is not None:
        await tried.reply.close()


def _busy(asked: Asked, most: int) -> CallerError:
    return CallerError(
        429,
        "too many requests are under way",
        f"{asked.route.name}: {most}",
        "send it again shortly",
        retry_after_s=1,
    )


def _slow(asked: Asked, target: Target, trouble: str) -> CallerError:
    return CallerError(
        504,
        "the model took too long",
        f"{asked.route.name} version {target.version}: {trouble}",
        "send fewer rows, or raise GATEWAY_INFER_TIMEOUT_S",
    )


def _failed(asked: Asked, tried: _Try) -> CallerError:
    version, status = tried.target.version, tried.reply.status if tried.reply else 0
    if status in (_NOT_FOUND, _NOT_READY):  # "not found": its application is gone
        return not_ready(asked.route.name, version)
    if status == _TOO_SLOW:
        return _slow(asked, tried.target, tried.trouble)
    return CallerError(
        502,
        "the model failed to answer",
        f"{asked.route.name} version {version}: {tried.trouble}",
        "look at `mlops logs serving`; the request may be sent again",
    )


def _words(reply: Reply) -> str:
    text = reply.body[:_SHOWN].decode("utf-8", "replace").strip()
    return f"status {reply.status}: {text}" if text else f"status {reply.status}"
