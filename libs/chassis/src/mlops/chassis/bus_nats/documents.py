# SPDX-License-Identifier: Apache-2.0
"""Documents in a JetStream key-value bucket: the state and the ids it has seen are one value, one write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from mlops.chassis.bus import D, checked_key
from mlops.chassis.bus_nats.latest import latest
from mlops.chassis.errors import ConflictError, RejectedError, UnavailableError

_REMEMBERED = 256
_ATTEMPTS = 20
_MAX_BYTES = 900 * 1024


@dataclass(frozen=True)
class _Stored(Generic[D]):
    document: D
    applied: list[str]
    revision: int


class NatsDocuments(Generic[D]):
    """The documents of one bucket; the bucket is made at the first use."""

    def __init__(
        self,
        connected: Callable[[], Awaitable[tuple[Client, JetStreamContext]]],
        bucket: str,
        kind: type[D],
    ) -> None:
        self._connected = connected
        self._bucket = bucket
        self._kind = kind
        self._kv: KeyValue | None = None
        self._known: dict[str, _Stored[D]] = {}

    async def get(self, key: str) -> D | None:
        """Return the document, or None."""
        found, _, _ = await self._read(checked_key(key))
        return found

    async def change(self, key: str, change: Callable[[D | None], D], *, applied: str) -> D:
        """Apply *change* once per *applied*; again when another replica wrote in between."""
        checked_key(key)
        for attempt in range(_ATTEMPTS):
            now, ids, revision = await self._read(key)
            if now is not None and applied in ids:
                return now
            changed = change(now)
            if await self._write(key, changed, [*ids, applied][-_REMEMBERED:], revision):
                return changed
            await asyncio.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter
        raise ConflictError(f"{self._bucket}/{key}: {_ATTEMPTS} writes in a row met another writer")

    async def delete(self, key: str) -> None:
        """Remove the document."""
        kv = await self._open()
        try:
            await kv.purge(checked_key(key))
        except (nats.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"{self._bucket}/{key}: {error!r}") from error

    async def all(self) -> dict[str, D]:
        """Return every document by key."""
        await self._open()
        client, js = await self._connected()
        prefix, stream = f"$KV.{self._bucket}.", f"KV_{self._bucket}"
        try:
            found = await latest(client, stream, f"{prefix}>")
            if found is None:
                return await self._one_by_one(js, prefix, stream)
        except (nats.errors.Error, TimeoutError) as error:
            self._kv = None
            raise UnavailableError(f"{self._bucket}: {error!r}") from error
        there = {one.subject.removeprefix(prefix): one for one in found if not one.removed}
        self._known = {key: known for key, known in self._known.items() if key in there}
        return {
            key: self._parsed(key, one.payload, one.sequence).document
            for key, one in sorted(there.items())
        }

    async def _one_by_one(self, js: JetStreamContext, prefix: str, stream: str) -> dict[str, D]:
        # The client's own `keys` makes a consumer each time, and the server keeps it for minutes.
        info = await js.stream_info(stream, subjects_filter=f"{prefix}>")
        keys = sorted(subject.removeprefix(prefix) for subject in info.state.subjects or {})
        found = {key: await self.get(key) for key in keys}
        return {key: document for key, document in found.items() if document is not None}

    async def _read(self, key: str) -> tuple[D | None, list[str], int]:
        kv = await self._open()
        try:
            entry = await kv.get(key)
        except nats.js.errors.KeyNotFoundError as error:
            # What was removed has a last revision too, and the next write must follow on it.
            return None, [], int(error.entry.revision or 0) if error.entry else 0
        except (nats.errors.Error, TimeoutError) as error:
            self._kv = None
            raise UnavailableError(f"{self._bucket}/{key}: {error!r}") from error
        found = self._parsed(key, entry.value or b"{}", int(entry.revision or 0))
        return found.document, found.applied, found.revision

    def _parsed(self, key: str, payload: bytes, revision: int) -> _Stored[D]:
        """Return what is stored; a frozen document that was read before at this revision is not read again."""
        known = self._known.get(key)
        if known is not None and known.revision == revision:
            return known
        kept = from_json(payload)
        found = _Stored(self._kind.model_validate(kept["document"]), kept["applied"], revision)
        if self._kind.model_config.get("frozen"):
            self._known[key] = found
        return found

    async def _write(self, key: str, document: D, ids: list[str], revision: int) -> bool:
        kv = await self._open()
        value = to_json({"document": _plain(document), "applied": ids})
        if len(value) > _MAX_BYTES:
            raise RejectedError(
                f"{self._bucket}/{key}: {len(value)} bytes are too many for a document"
            )
        try:
            await kv.update(key, value, last=revision)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False
        except nats.js.errors.APIError as error:
            raise UnavailableError(f"{self._bucket}/{key}: {error!r}") from error
        except (nats.errors.Error, TimeoutError) as error:
            # Unknown whether it was stored: the next try reads it back and finds the applied id.
            self._kv = None
            raise UnavailableError(f"{self._bucket}/{key}: {error!r}") from error
        return True

    async def _open(self) -> KeyValue:
        if self._kv is not None:
            return self._kv
        _, js = await self._connected()
        try:
            self._kv = await self._bind(js)
        except (nats.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"bucket {self._bucket}: {error!r}") from error
        return self._kv

    async def _bind(self, js: JetStreamContext) -> KeyValue:
        try:
            return await js.key_value(self._bucket)
        except nats.js.errors.NotFoundError:
            return await js.create_key_value(
                config=KeyValueConfig(bucket=self._bucket, history=1, direct=True)
            )


def _plain(document: BaseModel) -> object:
    return document.model_dump(mode="json")
