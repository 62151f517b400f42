# SPDX-License-Identifier: Apache-2.0
"""Pull: a stream of messages from one consumer that never dries up silently.

Pull requests are kept outstanding, so that a message arrives the moment it is stored. They are renewed when they
are used up or expire, after a reconnect (a server forgets the requests of a connection that broke), and when the
server's idle heartbeats stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from mlops.chassis import log

_EXPIRES_S = 30.0
_HEARTBEAT_S = 5.0
_SILENCE_S = 2.5 * _HEARTBEAT_S
_PAUSE_S = 0.5


class Pull:
    """Messages of one consumer, at most *most* at a time on this side; `held` are those not yet `done`."""

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        most: int,
        repair: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._most = most
        self._repair = repair
        self._log = log.get_logger("bus").bind(consumer=consumer)
        self.messages: asyncio.Queue[Msg] = asyncio.Queue()
        self.held: dict[int, Msg] = {}
        self._outstanding = 0
        self._wake = asyncio.Event()
        self._heard_at = time.monotonic()
        self._broken = False
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask for messages."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        self._loop = asyncio.create_task(self._keep_asking())

    async def stop(self) -> None:
        """Ask no more; what was received stays in `messages`."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    def done(self, message: Msg) -> None:
        """Say that a message has left this side, so that another may come."""
        self.held.pop(id(message), None)
        if self._room() >= self._most // 2:
            self._wake.set()

    def renew(self) -> None:
        """Forget what was asked for: the connection is a new one."""
        self._outstanding = 0
        self._wake.set()

    async def _receive(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        status = message.headers.get("Status") if message.headers and not message.data else None
        if status is None:
            self._outstanding -= 1
            self.held[id(message)] = message
            self.messages.put_nowait(message)
        elif status != "100":
            self._end_of_request(status, message)

    def _end_of_request(self, status: str, message: Msg) -> None:
        headers = message.headers or {}
        left = headers.get("Nats-Pending-Messages")
        self._outstanding = max(0, self._outstanding - int(left)) if left else 0
        if status in ("409", "503") and "Max" not in headers.get("Description", ""):
            self._broken = True
        self._wake.set()

    def _room(self) -> int:
        return self._most - len(self.held) - max(self._outstanding, 0)

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._ask_if_room()
            except (nats.errors.Error, TimeoutError, OSError) as error:
                self._log.warning("bus.pull_failed", error=repr(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._outstanding > 0 and time.monotonic() - self._heard_at > _SILENCE_S:
                self._broken = True

    async def _ask_if_room(self) -> None:
        if not self._client.is_connected:
            self._outstanding = 0
            await asyncio.sleep(0.1)
            self._wake.set()
            return
        if self._broken:
            self._broken = False
            self._outstanding = 0
            await self._repair()
            await asyncio.sleep(0.05)
        room = self._room()
        if room <= 0:
            return
        request = {
            "batch": room,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._outstanding += room
        self._heard_at = time.monotonic()
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
