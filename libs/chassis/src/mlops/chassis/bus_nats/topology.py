# SPDX-License-Identifier: Apache-2.0
"""Which streams and consumers exist, and what they are called. Made by whichever service starts first."""

from __future__ import annotations

import asyncio

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from mlops.chassis.bus import Delivery
from mlops.contracts.catalogue import EVENTS as EVENT_TYPES
from mlops.contracts.message import Command, Message

EVENTS = "EVENTS"
COMMANDS = "COMMANDS"
DLQ = "DLQ"
REPLAYS = "REPLAYS"
ADVISORIES = "ADVISORIES"

_DAY_S = 24 * 3600
_GIB = 1024**3
_DUPLICATE_WINDOW_S = 600


def streams() -> list[StreamConfig]:
    """Return every stream of the platform.

    Subjects are listed one by one: a wildcard that also covers `query.…` would swallow its requests.
    """
    advisory = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"
    return [
        _stream(
            EVENTS,
            [f"{kind.type}.*" for kind in EVENT_TYPES],
            max_age=30 * _DAY_S,
            max_bytes=4 * _GIB,
        ),
        _stream(COMMANDS, ["cmd.*.*.*"], max_age=30 * _DAY_S, max_bytes=_GIB),
        _stream(DLQ, ["dlq.>"], max_age=90 * _DAY_S, max_bytes=_GIB),
        _stream(
            REPLAYS,
            ["replay.>"],
            max_age=7 * _DAY_S,
            max_bytes=_GIB,
            retention=RetentionPolicy.WORK_QUEUE,
        ),
        _stream(ADVISORIES, [advisory], max_age=7 * _DAY_S, max_bytes=_GIB // 4),
    ]


def _stream(
    name: str,
    subjects: list[str],
    *,
    max_age: int,
    max_bytes: int,
    retention: RetentionPolicy = RetentionPolicy.LIMITS,
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=subjects,
        retention=retention,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=max_age,
        max_bytes=max_bytes,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


async def ensure_streams(js: JetStreamContext) -> None:
    """Make the streams that are missing; add subjects that an older installation lacks."""
    for wanted in streams():
        await _ensure_stream(js, wanted)


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    name = str(wanted.name)
    try:
        found = (await js.stream_info(name)).config
    except nats.js.errors.NotFoundError:
        await js.add_stream(wanted)
        return
    missing = set(wanted.subjects or []) - set(found.subjects or [])
    if missing:
        found.subjects = [*(found.subjects or []), *sorted(missing)]
        await js.update_stream(found)


def stream_of(kind: type[Message]) -> str:
    """Return the stream that holds a kind of message."""
    return COMMANDS if issubclass(kind, Command) else EVENTS


def durable_name(service: str, kind: type[Message]) -> str:
    """Return the consumer name: service and type, dashed."""
    return f"{service}-{kind.type}".replace(".", "-").replace("_", "-")


def replay_name(service: str) -> str:
    """Return the consumer through which dead letters come back to *service*."""
    return f"{service}-replays".replace("_", "-")


async def ensure_consumer(
    js: JetStreamContext, stream: str, name: str, filter_subject: str, delivery: Delivery, held: int
) -> None:
    """Make or update a durable consumer; *held* bounds what one replica group keeps unacknowledged."""
    config = ConsumerConfig(
        name=name,
        durable_name=name,
        filter_subject=filter_subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=delivery.ack_wait.total_seconds(),
        max_deliver=delivery.max_deliver,
        max_ack_pending=max(held * 8, 256),
    )
    for attempt in range(5):
        try:
            await js.add_consumer(stream, config)
        except (nats.errors.TimeoutError, nats.js.errors.ServiceUnavailableError):
            await asyncio.sleep(0.2 * 2**attempt)
        else:
            return
    await js.add_consumer(stream, config)
