# SPDX-License-Identifier: Apache-2.0
"""The promises of a bus's documents: small state, one idempotent write per message."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from mlops.chassis.errors import RejectedError
from servers.buses import Harness


class Count(BaseModel):
    value: int = 0


async def test_documents_change_once_per_message(harness: Harness) -> None:
    await harness.start()
    counts = harness.bus.documents("tracking_counts", Count)

    def add(now: Count | None) -> Count:
        return Count(value=(now.value if now else 0) + 1)

    await counts.change("rain", add, applied="m-1")
    await counts.change("rain", add, applied="m-1")
    changed = await counts.change("rain", add, applied="m-2")

    assert changed == Count(value=2)
    assert await counts.get("rain") == Count(value=2)
    assert await counts.all() == {"rain": Count(value=2)}
    await counts.delete("rain")
    assert await counts.get("rain") is None
    assert await counts.all() == {}


async def test_a_document_that_was_removed_begins_anew(harness: Harness) -> None:
    await harness.start()
    counts = harness.bus.documents("tracking_counts", Count)
    await counts.change("rain", lambda _: Count(value=1), applied="m-1")
    await counts.delete("rain")
    await counts.delete("never-there")

    changed = await counts.change(
        "rain", lambda now: Count(value=7 if now is None else 0), applied="m-1"
    )

    assert changed == Count(value=7)
    assert await counts.get("rain") == Count(value=7)


async def test_documents_keep_every_concurrent_change(harness: Harness) -> None:
    await harness.start()
    counts = harness.bus.documents("tracking_counts", Count)

    def add(now: Count | None) -> Count:
        return Count(value=(now.value if now else 0) + 1)

    await asyncio.gather(*(counts.change("rain", add, applied=f"m-{n}") for n in range(12)))

    assert await counts.get("rain") == Count(value=12)


async def test_a_bad_document_key_is_refused(harness: Harness) -> None:
    await harness.start()

    with pytest.raises(RejectedError, match="document key"):
        await harness.bus.documents("tracking_counts", Count).get("a b")
    with pytest.raises(RejectedError, match="document key"):
        await harness.bus.documents("tracking_counts", Count).get("a\n")
