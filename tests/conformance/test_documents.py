# SPDX-License-Identifier: Apache-2.0
"""The promises of a bus's documents: small state, one idempotent write per message."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, ConfigDict

from mlops.chassis.errors import RejectedError
from servers.buses import Harness


class Count(BaseModel):
    value: int = 0


class Mark(BaseModel):
    model_config = ConfigDict(frozen=True)

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


@pytest.mark.parametrize("number", [3, 1030], ids=["few", "more than come at once"])
async def test_all_documents_are_there_as_they_are_now(harness: Harness, number: int) -> None:
    await harness.start()
    marks = harness.bus.documents("tracking_marks", Mark)
    names = [f"m{n:04}" for n in range(number)]
    for name in names:
        await marks.change(name, lambda _: Mark(value=1), applied="first")
    before = await marks.all()

    await marks.change(names[0], lambda _: Mark(value=2), applied="second")
    await marks.delete(names[1])

    assert before == dict.fromkeys(names, Mark(value=1))
    kept = dict.fromkeys(names, Mark(value=1)) | {names[0]: Mark(value=2)}
    assert await marks.all() == {name: mark for name, mark in kept.items() if name != names[1]}
    assert await marks.get(names[0]) == Mark(value=2)


async def test_an_empty_bucket_has_no_documents(harness: Harness) -> None:
    await harness.start()

    assert await harness.bus.documents("tracking_marks", Mark).all() == {}


async def test_a_document_that_a_reader_changes_is_his_own(harness: Harness) -> None:
    await harness.start()
    counts = harness.bus.documents("tracking_counts", Count)
    await counts.change("rain", lambda _: Count(value=1), applied="m-1")

    (await counts.all())["rain"].value = 9
    mine = await counts.get("rain")

    assert mine == Count(value=1)


async def test_a_bad_document_key_is_refused(harness: Harness) -> None:
    await harness.start()

    with pytest.raises(RejectedError, match="document key"):
        await harness.bus.documents("tracking_counts", Count).get("a b")
    with pytest.raises(RejectedError, match="document key"):
        await harness.bus.documents("tracking_counts", Count).get("a\n")
