# SPDX-License-Identifier: Apache-2.0
"""FileDifferences: two contents compared as they lie in the cache, file by file and table by table."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.sidecar import IDLE, Sidecar
from mlops.versioning.model import Differences, Kept, differences

_LONG = timedelta(minutes=30)
_MOST_FILES = 100
_MOST_TABLES = 5
# The bus takes a message of 1 MiB; names of files may be long.
_MOST_BYTES = 800_000
_TABLES = (".parquet", ".pq", ".arrow", ".feather", ".csv", ".tsv", ".jsonl", ".ndjson")


class FileDifferences:
    """Compares listings here, tables in a child process that reads them in batches."""

    def __init__(self, idle: timedelta = IDLE) -> None:
        self._worker = Sidecar("mlops.versioning.adapters.tables_worker", idle=idle)

    async def between(
        self, old: Mapping[str, str], new: Mapping[str, str], name: str, key: str
    ) -> dict[str, Any]:
        """Return what differs; see `Comparison`."""
        before, after, found = await asyncio.to_thread(_found, old, new)
        tables = [file for file in found.changed if (file or name).lower().endswith(_TABLES)]
        compared = [
            {"file": file, **await self._table(old[file], new[file], file or name, key)}
            for file in tables[:_MOST_TABLES]
        ]
        answer = await asyncio.to_thread(_listed, found, before, after)
        return bounded(
            {**answer, "tables": compared, "more_tables": len(tables) - len(compared)}, _MOST_BYTES
        )

    async def close(self) -> None:
        """End the child."""
        await self._worker.close()

    async def _table(self, old: str, new: str, name: str, key: str) -> dict[str, Any]:
        found = await self._worker.call("compare", _LONG, old=[old, name], new=[new, name], key=key)
        return dict(found)


def bounded(answer: dict[str, Any], most_bytes: int) -> dict[str, Any]:
    """Return *answer* with its longest lists cut until it fits into a message; the counts still tell the whole."""
    while len(json.dumps(answer)) > most_bytes:
        table: dict[str, Any] = max(answer["tables"], key=_length, default={})
        kind = max(answer["files"], key=lambda one: _length_of(answer["files"][one]))
        if not _length(table) and not answer["files"][kind]:
            break
        if _length(table) >= _length_of(answer["files"][kind]):
            kept = table["columns"][: len(table["columns"]) // 2]
            table["more_columns"] += len(table["columns"]) - len(kept)
            table["columns"] = kept
        else:
            files = answer["files"][kind]
            answer["files"][kind] = files[: len(files) // 2]
    return answer


def _length(table: Mapping[str, Any]) -> int:
    return _length_of(table.get("columns", []))


def _length_of(rows: list[Any]) -> int:
    return len(json.dumps(rows)) if rows else 0


def _found(
    old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[dict[str, Kept], dict[str, Kept], Differences]:
    before, after = _kept(old), _kept(new)
    return before, after, differences(before, after)


def _kept(files: Mapping[str, str]) -> dict[str, Kept]:
    return {
        name: Kept(Path(path).parent.name + Path(path).name, os.stat(path).st_size)  # noqa: PTH116 - a listing has many
        for name, path in files.items()
    }


def _listed(
    found: Differences, before: Mapping[str, Kept], after: Mapping[str, Kept]
) -> dict[str, Any]:
    changed = [
        {"file": name, "before": before[name].size_bytes, "after": after[name].size_bytes}
        for name in found.changed[:_MOST_FILES]
    ]
    renamed = [
        {"file": to, "from": name, "size_bytes": after[to].size_bytes}
        for name, to in found.renamed[:_MOST_FILES]
    ]
    return {
        "files": {
            "added": _sized(found.added, after),
            "removed": _sized(found.removed, before),
            "changed": changed,
            "renamed": renamed,
        },
        "counts": {
            "added": len(found.added),
            "removed": len(found.removed),
            "changed": len(found.changed),
            "renamed": len(found.renamed),
            "same": len(before.keys() & after.keys()) - len(found.changed),
        },
        "size_bytes_before": _size(before.values()),
        "size_bytes_after": _size(after.values()),
    }


def _sized(names: tuple[str, ...], kept: Mapping[str, Kept]) -> list[dict[str, Any]]:
    return [{"file": name, "size_bytes": kept[name].size_bytes} for name in names[:_MOST_FILES]]


def _size(kept: Iterable[Kept]) -> int:
    return sum(one.size_bytes for one in kept)
