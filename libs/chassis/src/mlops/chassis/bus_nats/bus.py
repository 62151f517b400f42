# SPDX-License-Identifier: Apache-2.0
"""NatsBus: the bus on NATS JetStream. It keeps every promise of `mlops.chassis.bus` across restarts of the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.micro.service import Service as MicroService

from mlops.chassis import log
from mlops.chassis.bus import Answer, D, DeadLetter, Delivery, Handler, M, Question, Recorded
from mlops.chassis.bus_nats import questions
from mlops.chassis.bus_nats.consume import Consumer, Subscription, consumers_for
from mlops.chassis.bus_nats.dead import Collector, Graveyard
from mlops.chassis.bus_nats.documents import NatsDocuments
from mlops.chassis.bus_nats.history import Reader, merged, subjects_of
from mlops.chassis.bus_nats.publish import Publisher
from mlops.chassis.bus_nats.topology import ensure_streams
from mlops.chassis.errors import UnavailableError
from mlops.chassis.outbox import Outbox
from mlops.contracts.message import Message

_CONNECT_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_ASK = timedelta(seconds=5)
_GRACE = timedelta(seconds=10)


class NatsBus:
    """One connection of one process; *outbox* is its own file, None means publishing fails while the bus is away."""

    def __init__(
        self, url: str, *, token: str | None = None, name: str = "mlops", outbox: Path | None = None
    ) -> None:
        self._url = url
        self._token = token
        self._name = name
        self._publisher = Publisher(Outbox(outbox) if outbox else None)
        self._subscriptions: list[Subscription] = []
        self._answers: dict[tuple[str, str], Answer] = {}
        self._consumers: list[Consumer] = []
        self._micro: list[MicroService] = []
        self._readers: set[Reader] = set()
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._collector: Collector | None = None
        self._stopping = False
        self._log = log.get_logger("bus").bind(url=url)

    async def start(self) -> None:
        """Connect (waiting for the server as long as it takes), then serve the subscriptions."""
        client, js = await self._connect()
        graveyard = Graveyard(js)
        if self._subscriptions:
            self._collector = Collector(client, js, graveyard)
            await self._collector.start()
        for source, subscriptions in consumers_for(self._subscriptions):
            consumer = Consumer(client, js, source, subscriptions, self.publish, graveyard.bury)
            self._consumers.append(consumer)
            await consumer.start()
        self._micro = await questions.offer(client, self._answers)

    async def stop(self, grace: timedelta = _GRACE) -> None:
        """Finish what was begun within *grace*, then leave."""
        self._stopping = True
        for service in self._micro:
            with contextlib.suppress(nats.errors.Error):
                await service.stop()
        await asyncio.gather(*(consumer.stop(grace) for consumer in self._consumers))
        if self._collector is not None:
            await self._collector.stop()
        await self._publisher.stop()
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await self._client.flush(timeout=2)
            await self._client.close()

    async def check(self) -> str | None:
        """Return None when connected, else what is wrong."""
        if self._client is None:
            return f"not yet connected to {self._url}"
        return None if self._client.is_connected else f"lost {self._url}, reconnecting"

    async def publish(self, message: Message) -> None:
        """Store *message* on the bus or, while it is away, in the outbox."""
        if message.source == "/unknown":
            message = message.model_copy(update={"source": f"/services/{self._name}"})
        await self._publisher.publish(message)

    async def publish_bytes(self, subject: str, payload: bytes, message_id: str) -> None:
        """Store bytes as a stranger would, readable or not."""
        await self._publisher.store(message_id, subject, payload)

    def on(
        self, service: str, kind: type[M], handler: Handler[M], delivery: Delivery | None = None
    ) -> None:
        """Subscribe; takes effect at `start`."""
        self._subscriptions.append(Subscription(service, kind, handler, delivery or Delivery()))

    def answer(self, service: str, verb: str, answer: Answer) -> None:
        """Answer `query.<service>.<verb>`; takes effect at `start`."""
        self._answers[service, verb] = answer

    async def ask(
        self, service: str, verb: str, question: Question, timeout: timedelta = _ASK
    ) -> dict[str, Any]:
        """Ask another service."""
        client, _ = await self._connected()
        return await questions.ask(client, service, verb, question, timeout)

    def documents(self, bucket: str, kind: type[D]) -> NatsDocuments[D]:
        """Return the documents of *bucket*."""
        return NatsDocuments(self._connected, bucket, kind)

    async def follow(
        self,
        types: Sequence[str] = (),
        scope: str = "*",
        *,
        since: datetime | None = None,
        live: bool = True,
    ) -> AsyncIterator[Recorded]:
        """Yield what was said; see `History`."""
        client, js = await self._connected()
        readers = [
            Reader(client, js, stream, subjects, since)
            for stream, subjects in subjects_of(types, scope).items()
        ]
        self._readers.update(readers)
        try:
            async for recorded in merged(readers, live=live):
                yield recorded
        finally:
            self._readers.difference_update(readers)
            for reader in readers:
                await reader.stop()

    async def list(self) -> list[DeadLetter]:
        """Return all dead letters, oldest first."""
        return await Graveyard(await self._jetstream()).list()

    async def mark(self) -> str:
        """Return a word that is another one once a dead letter came or went."""
        return await Graveyard(await self._jetstream()).mark()

    async def replay(self, sequence: int) -> None:
        """Give a dead message back to the service that gave it up."""
        await Graveyard(await self._jetstream()).replay(sequence)

    async def discard(self, sequence: int) -> None:
        """Forget a dead letter."""
        await Graveyard(await self._jetstream()).discard(sequence)

    async def _connect(self) -> tuple[Client, JetStreamContext]:
        attempt = 0
        while True:
            try:
                return await self._try_to_connect()
            except (nats.errors.Error, TimeoutError, OSError) as error:
                pause = _CONNECT_PAUSES_S[min(attempt, len(_CONNECT_PAUSES_S) - 1)]
                attempt += 1
                self._log.warning("bus.connect_failed", error=repr(error), again_in_s=pause)
                await asyncio.sleep(pause)

    async def _try_to_connect(self) -> tuple[Client, JetStreamContext]:
        client = await nats.connect(
            self._url,
            token=self._token,
            name=self._name,
            connect_timeout=2,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnect,
        )
        js = client.jetstream(timeout=5)
        try:
            await ensure_streams(js)
        except BaseException:
            await client.close()
            raise
        self._client, self._js = client, js
        self._publisher.connect(client, js)
        return client, js

    async def _connected(self) -> tuple[Client, JetStreamContext]:
        if self._client is None or self._js is None:
            raise UnavailableError(f"not connected to {self._url}; start the bus first")
        return self._client, self._js

    async def _jetstream(self) -> JetStreamContext:
        return (await self._connected())[1]

    async def _on_error(self, error: Exception) -> None:
        # The only place where the server names a permission it denied.
        if not self._stopping:
            self._log.warning("bus.error", error=repr(error))

    async def _on_reconnect(self) -> None:
        self._log.info("bus.reconnected")
        self._publisher.renew()
        for consumer in self._consumers:
            consumer.renew()
        for reader in self._readers:
            reader.renew()
        if self._collector is not None:
            self._collector.renew()
