# SPDX-License-Identifier: Apache-2.0
"""Dead letters: where a message goes that was given up, how it is read, and how it comes back.

Two ways lead here: the chassis buries what a handler rejected or failed too often, and the server's advisories tell
of messages whose handler died with its process each time.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from mlops.chassis import log
from mlops.chassis.bus import DeadLetter, Delivery
from mlops.chassis.bus_nats.pull import Pull
from mlops.chassis.bus_nats.topology import ADVISORIES, DLQ, ensure_consumer
from mlops.chassis.deliver import Copy
from mlops.chassis.errors import RejectedError, UnavailableError

_COLLECTOR = "dead-letter-collector"
_REASON_LENGTH = 500


class Graveyard:
    """Writes and reads the DLQ stream."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    async def bury(self, copy: Copy, message: Msg, reason: str) -> None:
        """Store the message under `dlq.<subject>` and end its delivery."""
        metadata = message.metadata
        await self._store(
            copy.subject,
            copy.payload,
            service=copy.receiver.rpartition("/")[2],
            reason=reason,
            deliveries=copy.attempt,
            died_of=(metadata.stream, metadata.consumer, metadata.sequence.stream),
        )
        await message.term()

    async def bury_lost(self, stream: str, consumer: str, sequence: int, deliveries: int) -> None:
        """Store a message that no handler lived to judge."""
        try:
            found = await self._js.get_msg(stream, sequence)
        except nats.js.errors.NotFoundError:
            return  # older than the stream keeps: nothing is left to bury
        await self._store(
            str(found.subject),
            found.data or b"",
            service=_service_of(consumer),
            reason=f"its handler died {deliveries} times without an answer",
            deliveries=deliveries,
            died_of=(stream, consumer, sequence),
        )

    async def _store(
        self,
        subject: str,
        payload: bytes,
        *,
        service: str,
        reason: str,
        deliveries: int,
        died_of: tuple[str, str, int],
    ) -> None:
        stream, consumer, sequence = died_of
        headers = {
            "Nats-Msg-Id": f"dlq-{stream}-{consumer}-{sequence}",
            "Dlq-Service": service,
            "Dlq-Reason": " ".join(reason.split())[:_REASON_LENGTH]
            .encode("ascii", "replace")
            .decode(),
            "Dlq-Deliveries": str(deliveries),
            "Dlq-Origin": f"{stream}/{consumer}/{sequence}",
        }
        await self._js.publish(f"dlq.{subject}", payload, headers=headers, timeout=5)

    async def list(self) -> list[DeadLetter]:
        """Return all dead letters, oldest first."""
        found: list[DeadLetter] = []
        sequence = 1
        while True:
            try:
                raw = await self._js.get_msg(DLQ, seq=sequence, next=True, subject="dlq.>")
            except nats.js.errors.NotFoundError:
                return found
            except (nats.errors.Error, TimeoutError) as error:
                raise UnavailableError(f"dead letters: {error!r}") from error
            found.append(_letter(raw))
            sequence = int(raw.seq or 0) + 1

    async def mark(self) -> str:
        """Return a word for what is in the stream: what comes raises its last number, what goes lowers the count."""
        try:
            info = await self._js.stream_info(DLQ)
        except (nats.errors.Error, TimeoutError) as error:
            raise UnavailableError(f"dead letters: {error!r}") from error
        # A stream that was made anew begins with the same numbers.
        return f"{info.created}/{info.state.last_seq}/{info.state.messages}"

    async def replay(self, sequence: int) -> None:
        """Give the message back to the service that gave it up; RejectedError when there is none."""
        letter = await self._get(sequence)
        headers = {"Nats-Msg-Id": f"replay-{sequence}-{letter.died_at.timestamp():.6f}"}
        await self._js.publish(
            f"replay.{letter.service}.{letter.subject}", letter.payload, headers=headers, timeout=5
        )
        await self.discard(sequence)

    async def discard(self, sequence: int) -> None:
        """Forget a dead letter."""
        await self._get(sequence)
        await self._js.delete_msg(DLQ, sequence)

    async def _get(self, sequence: int) -> DeadLetter:
        try:
            return _letter(await self._js.get_msg(DLQ, sequence))
        except nats.js.errors.NotFoundError as error:
            raise RejectedError(
                f"no dead letter {sequence}; `mlops events dlq list` shows them"
            ) from error


class Collector:
    """Buries what the server's advisories name; every chassis runs one, they share the work."""

    def __init__(self, client: Client, js: JetStreamContext, graveyard: Graveyard) -> None:
        self._js = js
        self._graveyard = graveyard
        self._pull = Pull(client, ADVISORIES, _COLLECTOR, 16, self._ensure)
        self._task: asyncio.Task[None] | None = None
        self._log = log.get_logger("bus").bind(consumer=_COLLECTOR)

    async def start(self) -> None:
        """Begin to read advisories."""
        await self._ensure()
        await self._pull.start()
        self._task = asyncio.create_task(self._collect())

    def renew(self) -> None:
        """Ask again after a reconnect."""
        self._pull.renew()

    async def stop(self) -> None:
        """Stop reading."""
        await self._pull.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ensure(self) -> None:
        filter_subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"
        await ensure_consumer(self._js, ADVISORIES, _COLLECTOR, filter_subject, Delivery(), 16)

    async def _collect(self) -> None:
        while True:
            message = await self._pull.messages.get()
            try:
                advisory = json.loads(message.data)
                if advisory["consumer"] != _COLLECTOR:
                    await self._graveyard.bury_lost(
                        advisory["stream"],
                        advisory["consumer"],
                        int(advisory["stream_seq"]),
                        int(advisory["deliveries"]),
                    )
                await message.ack()
            except (nats.errors.Error, TimeoutError, OSError, KeyError, ValueError) as error:
                self._log.warning("bus.advisory_failed", error=repr(error))
            finally:
                self._pull.done(message)


def _letter(raw: RawStreamMsg) -> DeadLetter:
    headers = raw.headers or {}
    died_at = raw.time if isinstance(raw.time, datetime) else datetime.now(UTC)
    return DeadLetter(
        sequence=int(raw.seq or 0),
        subject=str(raw.subject).removeprefix("dlq."),
        service=headers.get("Dlq-Service", "unknown"),
        reason=headers.get("Dlq-Reason", ""),
        deliveries=int(headers.get("Dlq-Deliveries", "0")),
        died_at=died_at,
        payload=raw.data or b"",
    )


def _service_of(consumer: str) -> str:
    """Return the service of a durable name such as `orchestration-bridge-drift-detected`."""
    parts = consumer.split("-")
    if parts[-1] == "replays":
        return "_".join(parts[:-1])
    command = parts.index("cmd") if "cmd" in parts else len(parts) - 2
    return "_".join(parts[:command])
