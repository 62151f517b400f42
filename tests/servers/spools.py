# SPDX-License-Identifier: Apache-2.0
"""Journals for tests of the spool, and a courier that brings them to a tracking server in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops.client.mlflow_rest.server import HEARTBEAT
from mlops.client.mlflow_rest.trouble import AwayError
from mlops.client.spool import Target, flush_all, listing
from mlops.client.spool.adoption import Unheard
from mlops.client.spool.courier import Courier
from mlops.client.spool.journal import Journal
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import METRICS, START, encode, encode_object
from mlops.client.spool.refused import Refusals
from servers.memory_tracking import MemoryTracking

TARGET = Target("http://127.0.0.1:1", "rain", "rain")
PLENTY = 1 << 40


def journal_in(folder: Path, most: int = PLENTY) -> Journal:
    folder.mkdir(parents=True, exist_ok=True)
    return Journal(folder, TARGET, Quota(folder, most))


def point(ref: str, step: int, key: str = "loss") -> bytes:
    body = b'{"key":"%b","value":0.5,"timestamp":%d,"step":%d}' % (key.encode(), 1000 + step, step)
    return encode(METRICS, ref.encode(), 1, body)


def began(ref: str, writer: str, **more: object) -> bytes:
    told: dict[str, Any] = {
        "name": ref,
        "at": 1000,
        "parent": "",
        "tags": {HEARTBEAT: f"1 {writer}"},
    }
    return encode_object(START, ref, {**told, **more})


def courier_of(journal: Journal, server: MemoryTracking, *, look_first: bool = False) -> Courier:
    refusals = Refusals(journal.folder.parent)
    return Courier(
        server, journal.sent, TARGET, journal.folder, refusals, Unheard(), look_first=look_first
    )


def deliver(journal: Journal, courier: Courier) -> None:
    while (chunk := journal.read()) is not None:
        key = (chunk.segment, chunk.offset, chunk.generation, chunk.remembered)
        while True:
            try:
                courier.deliver(key, chunk.lines)
                break
            except AwayError:
                continue
        if journal.done(chunk):
            courier.finished()


def flush(folder: Path, server: MemoryTracking) -> None:
    while listing(folder).journals:
        flush_all(folder, connect=lambda _: server)


def steps(server: MemoryTracking, ref: str) -> list[int]:
    (run,) = [run for run in server.runs.values() if run.tags["mlops.client_run"] == ref]
    return [one[3] for one in run.points]
