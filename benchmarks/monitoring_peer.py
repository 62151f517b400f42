# SPDX-License-Identifier: Apache-2.0
"""The least that keeps predictions: parse each message, append its rows to one SQLite table, acknowledge."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from pathlib import Path

import nats
import nats.errors

_AT_ONCE = 64


async def main(consumer: str) -> None:
    """Append until ended."""
    db = sqlite3.connect(Path(os.environ["MLOPS_HOME"]) / "raw.db", isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE rows (model TEXT, request_id TEXT, at TEXT, features TEXT, prediction TEXT)"
    )
    client = await nats.connect(os.environ["NATS_URL"], token=os.environ["NATS_TOKEN"])
    found = await client.jetstream().pull_subscribe("prediction.logged.*", consumer, "EVENTS")
    while True:
        try:
            messages = await found.fetch(_AT_ONCE, timeout=5)
        except nats.errors.TimeoutError:
            continue
        for message in messages:
            append(db, json.loads(message.data)["data"])
            await message.ack()


def append(db: sqlite3.Connection, told: dict[str, object]) -> None:
    """Append the rows of one message."""
    predictions = told["predictions"]
    assert isinstance(predictions, list)
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
        [
            (
                told["model"],
                one["request_id"],
                one["at"],
                json.dumps(one["features"]),
                json.dumps(one["prediction"]),
            )
            for one in predictions
        ],
    )
    db.execute("COMMIT")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
