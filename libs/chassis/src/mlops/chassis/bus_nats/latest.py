# SPDX-License-Identifier: Apache-2.0
"""latest(): the last message of each subject of a stream, all in one request.

Source: NATS ADR-31, "multi_last" of Direct Get (server 2.11 and later). The server answers with one message for each
subject and an empty one at the end, whose header says how it went.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DEFAULT_PREFIX

_LONGEST_S = 5.0
_END, _NOTHING = "204", "404"
_REMOVED = ("DEL", "PURGE")


@dataclass(frozen=True)
class Latest:
    """The last message of a subject; its sequence is a document's revision."""

    subject: str
    sequence: int
    payload: bytes
    removed: bool


async def latest(client: Client, stream: str, subjects: str) -> list[Latest] | None:
    """Return the last message of each of these subjects; None where the server does not give them all at once.

    That is so for more than 1024 of them, and for a stream without Direct Get. Raises TimeoutError and nats errors.
    """
    subscription = await client.subscribe(client.new_inbox())
    try:
        question = json.dumps({"multi_last": [subjects]}).encode()
        await client.publish(
            f"{DEFAULT_PREFIX}.DIRECT.GET.{stream}", question, reply=subscription.subject
        )
        found: list[Latest] = []
        async with asyncio.timeout(_LONGEST_S):
            while True:
                message = await subscription.next_msg(timeout=_LONGEST_S)
                headers = message.headers or {}
                if status := headers.get("Status"):
                    return found if status in (_END, _NOTHING) else None
                found.append(_read(message, headers))
    finally:
        await subscription.unsubscribe()


def _read(message: Msg, headers: Mapping[str, str]) -> Latest:
    return Latest(
        subject=headers["Nats-Subject"],
        sequence=int(headers["Nats-Sequence"]),
        payload=message.data,
        removed=headers.get("KV-Operation") in _REMOVED,
    )
