# SPDX-License-Identifier: Apache-2.0
"""History: what the streams hold, in order, and what comes next; a reader of its own, without acknowledgements."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic_core import from_json

from mlops.chassis.bus import Recorded
from mlops.chassis.bus_nats.pull import Pull
from mlops.chassis.bus_nats.topology import COMMANDS, EVENTS
from mlops.chassis.errors import UnavailableError

_HELD = 512
_INACTIVE_S = 120.0
_LOST_S = 5.0  # the stream dropped what it had announced


class Reader:
    """Reads one stream from a point on; finds its place again when the server lost its consumer."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        stream: str,
        subjects: list[str],
        since: datetime | None,
    ) -> None:
        self._client = client
        self._js = js
        self._stream = stream
        self._subjects = subjects
        self._since = since
        self._last = 0
        self._left = 0
        self._name = f"reader-{uuid.uuid4().hex[:12]}"
        self._pull: Pull | None = None

    async def next(self) -> Recorded:
        """Wait for the next message."""
        pull = self._pull or await self._start()
        while True:
            message = await pull.messages.get()
            pull.done(message)
            recorded = _recorded(message)
            if recorded.sequence > self._last:  # a renewed consumer may repeat a few
                self._last = recorded.sequence
                self._left -= 1
                return recorded

    async def backlog(self) -> int:
        """Return how many messages the stream held for this reader when it began, and are not read yet."""
        if self._pull is None:
            await self._start()
        return self._left

    def renew(self) -> None:
        """Ask again after a reconnect."""
        if self._pull is not None:
            self._pull.renew()

    async def stop(self) -> None:
        """Stop reading."""
        if self._pull is not None:
            await self._pull.stop()
        try:
            await self._js.delete_consumer(self._stream, self._name)
        except (nats.errors.Error, TimeoutError):
            return  # the server removes it when it has been idle for a while

    async def _start(self) -> Pull:
        await self._ensure()
        info = await self._js.consumer_info(self._stream, self._name)
        self._left = int(info.num_pending or 0)
        self._pull = Pull(self._client, self._stream, self._name, _HELD, self._ensure)
        await self._pull.start()
        return self._pull

    async def _ensure(self) -> None:
        try:
            await self._js.consumer_info(self._stream, self._name)
        except nats.js.errors.NotFoundError:
            await self._js.add_consumer(self._stream, self._config())

    def _config(self) -> ConsumerConfig:
        policy, start_seq, start_time = DeliverPolicy.ALL, None, None
        if self._last:
            policy, start_seq = DeliverPolicy.BY_START_SEQUENCE, self._last + 1
        elif self._since is not None:
            policy = DeliverPolicy.BY_START_TIME
            start_time = self._since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return ConsumerConfig(
            name=self._name,
            filter_subjects=self._subjects,
            deliver_policy=policy,
            opt_start_seq=start_seq,
            opt_start_time=start_time,  # type: ignore[arg-type]  # the server wants RFC 3339 text here
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_INACTIVE_S,
            mem_storage=True,
        )


def subjects_of(types: Sequence[str], scope: str) -> dict[str, list[str]]:
    """Return, per stream, the subjects that hold *types* of *scope*."""
    if not types:
        return {EVENTS: [f"*.*.{scope}"], COMMANDS: [f"cmd.*.*.{scope}"]}
    events = [f"{type_}.{scope}" for type_ in types if not type_.startswith("cmd.")]
    commands = [f"{type_}.{scope}" for type_ in types if type_.startswith("cmd.")]
    return {name: found for name, found in ((EVENTS, events), (COMMANDS, commands)) if found}


async def merged(readers: Sequence[Reader], *, live: bool) -> AsyncIterator[Recorded]:
    """Yield what the streams hold, ordered by time, then (with *live*) what comes, as it comes."""
    async for recorded in _backlog(readers):
        yield recorded
    if not live:
        return
    waiting = {asyncio.ensure_future(reader.next()): reader for reader in readers}
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                reader = waiting.pop(task)
                waiting[asyncio.ensure_future(reader.next())] = reader
                yield task.result()
    finally:
        for task in waiting:
            task.cancel()


async def _backlog(readers: Sequence[Reader]) -> AsyncIterator[Recorded]:
    heads = {reader: await _next_of_backlog(reader) for reader in readers}
    while True:
        ready = [(head.stored_at, reader) for reader, head in heads.items() if head is not None]
        if not ready:
            return
        reader = min(ready, key=lambda pair: pair[0])[1]
        head = heads[reader]
        if head is not None:
            yield head
        heads[reader] = await _next_of_backlog(reader)


async def _next_of_backlog(reader: Reader) -> Recorded | None:
    try:
        if await reader.backlog() <= 0:
            return None
        async with asyncio.timeout(_LOST_S):
            return await reader.next()
    except TimeoutError:
        return None
    except nats.errors.Error as error:
        raise UnavailableError(f"history: {error!r}") from error


def _recorded(message: Msg) -> Recorded:
    metadata = message.metadata
    return Recorded(
        sequence=metadata.sequence.stream,
        stored_at=metadata.timestamp.astimezone(UTC),
        subject=message.subject,
        envelope=_json_object(message.data),
    )


def _json_object(payload: bytes) -> dict[str, object]:
    try:
        found = from_json(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
