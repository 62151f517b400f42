# SPDX-License-Identifier: Apache-2.0
"""Dispatcher: sends one request to a version chosen by weight, once more if that one is in trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mlops.gateway.errors import CallerError
from mlops.gateway.model.routing import RetryBudget, Route, Target, is_trouble
from mlops.gateway.model.traffic import Traffic
from mlops.gateway.ports import (
    LostReplicaError,
    Meter,
    Replicas,
    Reply,
    Routes,
    SlowReplicaError,
)

_PAUSE_S = 0.05  # long enough for a fresh routing table to come in
_RETRY_AFTER_S = 2
_SHOWN = 300


@dataclass(frozen=True)
class Asked:
    """What is to be sent; `suffix` stands behind the model's path, `counts` whether it is inference."""

    route: Route
    pinned: int | None
    method: str
    suffix: str
    body: bytes
    headers: Mapping[str, str]
    counts: bool


@dataclass(frozen=True)
class Answered:
    """What came back, and from which version."""

    reply: Reply
    version: int


class Dispatcher:
    """Sends requests to replicas, and counts how each version does."""

    def __init__(
        self,
        routes: Routes,
        replicas: Replicas,
        traffic: Traffic,
        meter: Meter,
        timeout: timedelta,
        draw: Callable[[], float],
    ) -> None:
        self._routes = routes
        self._replicas = replicas
        self._traffic = traffic
        self._meter = meter
        self._timeout = timeout
        self._draw = draw
        self._budget = RetryBudget()

    async def send(self, asked: Asked) -> Answered:
        """Return the answer; CallerError 502 when two tries failed, 503 without a version, 504 when slow."""
        self._budget = self._budget.earned()
        target = self._target(asked, None)
        reply, trouble = await self._try(asked, target)
        if trouble and self._may_try_again():
            self._meter.retried(asked.route.project, asked.route.model)
            self._routes.refresh()
            await asyncio.sleep(_PAUSE_S)
            target = self._target(asked, target.version)
            reply, trouble = await self._try(asked, target)
        if reply is None or trouble:
            raise _failed(asked, target, reply, trouble)
        return Answered(reply, target.version)

    def _target(self, asked: Asked, avoid: int | None) -> Target:
        route = self._routes.table.routes.get((asked.route.project, asked.route.model))
        if route is not None and asked.pinned is not None:
            target = route.target(asked.pinned)
        else:
            target = route.choose(self._draw(), avoid) if route is not None else None
        if target is None:
            raise not_ready(asked.route.name, asked.pinned)
        return target

    async def _try(self, asked: Asked, target: Target) -> tuple[Reply | None, str]:
        began = time.perf_counter()
        reply: Reply | None = None
        trouble = ""
        failed = True
        url = f"{target.url}/v2/models/{asked.route.model}{asked.suffix}"
        try:
            reply = await self._replicas.send(
                asked.method, url, asked.body, asked.headers, self._timeout
            )
            failed = is_trouble(reply.status)
            trouble = _words(reply) if failed else ""
        except LostReplicaError as error:
            trouble = str(error)
        except SlowReplicaError as error:
            raise _slow(asked, target, error) from error
        finally:
            if asked.counts:
                key = (asked.route.project, asked.route.model, target.version)
                latency_ms = (time.perf_counter() - began) * 1000
                self._traffic.count(key, failed=failed, latency_ms=latency_ms)
        return reply, trouble

    def _may_try_again(self) -> bool:
        left = self._budget.spent()
        if left is None:
            return False
        self._budget = left
        return True


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


def _slow(asked: Asked, target: Target, error: SlowReplicaError) -> CallerError:
    return CallerError(
        504,
        "the model took too long",
        f"{asked.route.name} version {target.version}: {error}",
        "send fewer rows, or raise GATEWAY_INFER_TIMEOUT_S",
    )


def _failed(asked: Asked, target: Target, reply: Reply | None, trouble: str) -> CallerError:
    if reply is not None and reply.status == 404:  # noqa: PLR2004 - "not found": its application is gone
        return not_ready(asked.route.name, target.version)
    return CallerError(
        502,
        "the model failed to answer",
        f"{asked.route.name} version {target.version}: {trouble}",
        "look at `mlops logs serving`; the request may be sent again",
    )


def _words(reply: Reply) -> str:
    text = reply.body[:_SHOWN].decode("utf-8", "replace").strip()
    return f"status {reply.status}: {text}" if text else f"status {reply.status}"
