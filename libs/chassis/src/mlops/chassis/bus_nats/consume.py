# SPDX-License-Identifier: Apache-2.0
"""Consume: one subscription of one service: pull, judge, publish what follows, acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from mlops.chassis import log
from mlops.chassis.bus import Delivery
from mlops.chassis.bus_nats.pull import Pull
from mlops.chassis.bus_nats.topology import (
    REPLAYS,
    durable_name,
    ensure_consumer,
    replay_name,
    stream_of,
)
from mlops.chassis.deliver import Copy, Outcome, Verdict, judge
from mlops.contracts.message import Message

_PLAIN_REPLY = 9  # tokens of `$JS.ACK.<stream>.<consumer>.<deliveries>.…`; a domain makes it longer

Publish = Callable[[Message], Awaitable[None]]
Bury = Callable[[Copy, Msg, str], Awaitable[None]]


@dataclass(frozen=True)
class Subscription:
    """What a service wants to hear."""

    service: str
    kind: type[Message]
    handler: Callable[[Any], Awaitable[Sequence[Message]]]
    delivery: Delivery


class Consumer:
    """Serves one durable consumer with `delivery.concurrency` workers until stopped."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        source: tuple[str, str, str],
        subscriptions: dict[str, Subscription],
        publish: Publish,
        bury: Bury,
    ) -> None:
        self._client = client
        self._js = js
        self._stream, self._name, self._filter = source
        self._subscriptions = subscriptions
        self._publish = publish
        self._bury = bury
        first = next(iter(subscriptions.values()))
        self._service = first.service
        self._receiver = f"/services/{self._service}"
        self._delivery = first.delivery
        self._held = max(self._delivery.concurrency * 4, 64)
        self._pull = Pull(client, self._stream, self._name, self._held, self._ensure)
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._workers: list[asyncio.Task[None]] = []
        self._pulse: asyncio.Task[None] | None = None
        self._log = log.get_logger("bus").bind(consumer=self._name)

    async def start(self) -> None:
        """Make the consumer if need be, and begin."""
        await self._ensure()
        await self._pull.start()
        self._workers = [
            asyncio.create_task(self._work()) for _ in range(self._delivery.concurrency)
        ]
        self._pulse = asyncio.create_task(self._keep_alive())

    def renew(self) -> None:
        """Ask again after a reconnect."""
        self._pull.renew()

    async def stop(self, grace: timedelta) -> None:
        """Finish what was begun, give back what was not."""
        await self._pull.stop()
        while not self._pull.messages.empty():
            with contextlib.suppress(nats.errors.Error):
                await self._pull.messages.get_nowait().nak(delay=0.01)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                await self._idle.wait()
        for task in [*self._workers, *([self._pulse] if self._pulse else [])]:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _ensure(self) -> None:
        await ensure_consumer(
            self._js, self._stream, self._name, self._filter, self._delivery, self._held
        )

    async def _work(self) -> None:
        while True:
            message = await self._pull.messages.get()
            self._working += 1
            self._idle.clear()
            try:
                await self._serve(message)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                # The ack or the dead letter did not get through: the server will deliver again.
                self._log.warning("bus.ack_failed", subject=message.subject, error=repr(error))
            finally:
                self._working -= 1
                if self._working == 0:
                    self._idle.set()
                self._pull.done(message)

    async def _serve(self, message: Msg) -> None:
        subject = message.subject
        if self._stream == REPLAYS:
            subject = subject.split(".", 2)[2]
        subscription = self._subscriptions.get(subject.rpartition(".")[0])
        copy = Copy(subject, message.data, _attempt(message), self._receiver)
        if subscription is None:
            await self._bury(copy, message, f"{self._service} no longer listens to {subject}")
            return
        verdict = await judge(copy, subscription.kind, subscription.handler, subscription.delivery)
        await self._conclude(copy, message, verdict)

    async def _conclude(self, copy: Copy, message: Msg, verdict: Verdict) -> None:
        for follow_up in verdict.follow_ups:
            await self._publish(follow_up)
        if verdict.outcome is Outcome.DONE:
            await message.ack()
        elif verdict.outcome is Outcome.RETRY:
            await message.nak(delay=verdict.delay.total_seconds())
        else:
            await self._bury(copy, message, verdict.reason)

    async def _keep_alive(self) -> None:
        # Waiting messages count too: a slow handler must not let its queue run into redelivery.
        while True:
            await asyncio.sleep(self._delivery.ack_wait.total_seconds() / 3)
            for message in list(self._pull.held.values()):
                with contextlib.suppress(nats.errors.Error, nats.js.errors.Error):
                    await message.in_progress()


def _attempt(message: Msg) -> int:
    # Reading all of `message.metadata` for one number would cost as much as reading the message.
    tokens = message.reply.split(".")
    return int(tokens[4]) if len(tokens) == _PLAIN_REPLY else message.metadata.num_delivered


def consumers_for(
    subscriptions: Sequence[Subscription],
) -> list[tuple[tuple[str, str, str], dict[str, Subscription]]]:
    """Return one consumer per subscription, and one per service through which dead letters come back."""
    found = [
        (
            (stream_of(s.kind), durable_name(s.service, s.kind), f"{s.kind.type}.*"),
            {s.kind.type: s},
        )
        for s in subscriptions
    ]
    for service in sorted({s.service for s in subscriptions}):
        by_type = {s.kind.type: s for s in subscriptions if s.service == service}
        found.append(((REPLAYS, replay_name(service), f"replay.{service}.>"), by_type))
    return found
