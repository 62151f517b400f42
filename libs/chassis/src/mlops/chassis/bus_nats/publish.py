# SPDX-License-Identifier: Apache-2.0
"""Publish: store on the bus, or keep in the outbox until the bus is back; in order, and never twice.

A time-out means "unknown": the message is sent again with the same `Nats-Msg-Id`, and the stream drops the repeat.
"""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from mlops.chassis import log, metrics, tracing
from mlops.chassis.bus_nats.topology import ensure_streams
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.outbox import Outbox, Waiting
from mlops.contracts.errors import MessageError
from mlops.contracts.message import CONTENT_TYPE, Message

_TIMEOUT_S = 2.0
_LAST_CHANCE_S = 2.0
_PAUSES_S = (0.1, 0.25, 0.5, 1.0, 2.0)
# The server's own trouble, which passes: no space, no leader, no JetStream (nats-server, errors.json).
_PASSING = {10008, 10009, 10023, 10028, 10047, 10065, 10074, 10077, 10118}


class Publisher:
    """The way out of one process; `js` is None while there is no connection yet."""

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._forwarding: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._log = log.get_logger("bus")

    def connect(self, client: Client, js: JetStreamContext) -> None:
        """Use this connection from now on, and bring out what waits."""
        self._client, self._js = client, js
        if self._outbox is not None and self._forwarding is None:
            self._forwarding = asyncio.create_task(self._keep_forwarding())
        self._wake.set()

    def renew(self) -> None:
        """Try again now: the connection is back."""
        self._wake.set()

    async def publish(self, message: Message) -> None:
        """Store *message*; RejectedError when no bus would ever take it."""
        if message.traceparent is None and (span := tracing.current()):
            message = message.model_copy(update={"traceparent": span})
        try:
            payload = message.encode()
        except MessageError as error:
            raise RejectedError(str(error)) from error
        await self.store(message.id, message.subject, payload)

    async def store(self, message_id: str, subject: str, payload: bytes) -> None:
        """Store bytes on the bus, or in the outbox when the bus is away or others wait there already."""
        type_ = subject.rpartition(".")[0]
        if self._connected and not (self._outbox and len(self._outbox)):
            try:
                await self._send(message_id, subject, payload)
            except UnavailableError as error:
                self._log.warning(
                    "bus.unavailable", subject=subject, id=message_id, reason=str(error)
                )
            else:
                metrics.observe_published(type_, "bus")
                return
        if self._outbox is None:
            raise UnavailableError(f"the bus is away and {subject} has no outbox to wait in")
        async with self._turn:
            await asyncio.to_thread(self._outbox.put, message_id, subject, payload)
        metrics.observe_published(type_, "outbox")
        self._wake.set()

    async def stop(self) -> None:
        """Bring out what waits if that works at once; the rest waits for the next start."""
        if self._forwarding is not None:
            self._forwarding.cancel()
            await asyncio.gather(self._forwarding, return_exceptions=True)
        if self._outbox is None:
            return
        if self._connected and len(self._outbox):
            with contextlib.suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(_LAST_CHANCE_S):
                    await self._forward_all()
        self._outbox.close()

    @property
    def _connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    async def _send(self, message_id: str, subject: str, payload: bytes) -> None:
        if self._js is None:
            raise UnavailableError("not connected yet")
        headers = {"Nats-Msg-Id": message_id, "Content-Type": CONTENT_TYPE}
        try:
            await self._js.publish(subject, payload, headers=headers, timeout=_TIMEOUT_S)
        except nats.js.errors.NoStreamResponseError as error:
            await self._make_streams()
            raise UnavailableError(f"no stream takes {subject}") from error
        except nats.js.errors.APIError as error:
            if error.code in (500, 503) or error.err_code in _PASSING:
                raise UnavailableError(f"{error.description} ({error.err_code})") from error
            raise RejectedError(f"{subject}: {error.description} ({error.err_code})") from error
        except nats.errors.MaxPayloadError as error:
            raise RejectedError(f"{subject}: larger than the server allows") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnavailableError(repr(error)) from error

    async def _make_streams(self) -> None:
        if self._js is not None:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await ensure_streams(self._js)

    async def _keep_forwarding(self) -> None:
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSES_S[-1]):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._forward_all()
                failures = 0
            except UnavailableError:
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1

    async def _forward_all(self) -> None:
        while self._outbox is not None and len(self._outbox) and self._connected:
            async with self._turn:
                waiting = await asyncio.to_thread(self._outbox.oldest)
            for one in waiting:
                await self._forward(one)

    async def _forward(self, one: Waiting) -> None:
        try:
            await self._send(one.id, one.subject, one.payload)
        except RejectedError as error:
            # It would block everything behind it for ever; the log keeps what it was.
            self._log.error("outbox.refused", subject=one.subject, id=one.id, reason=str(error))
        if self._outbox is not None:
            async with self._turn:
                await asyncio.to_thread(self._outbox.remove, one.seq)
