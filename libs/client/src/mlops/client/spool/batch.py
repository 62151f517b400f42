# SPDX-License-Identifier: Apache-2.0
"""Batches: records become as few requests as MLflow's limits allow, in order for each run; pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mlops.client.spool import record
from mlops.client.spool.record import MOST_ENTRIES, PARAMS, Record

MOST_TOGETHER = 1000
MOST_BYTES = 900_000
_NAMES = {record.METRICS: b"metrics", record.PARAMS: b"params", record.TAGS: b"tags"}


@dataclass
class Batch:
    """What is logged to one run in one request."""

    ref: str
    parts: dict[bytes, list[bytes]] = field(default_factory=dict)
    entries: int = 0
    size: int = 0
    counts: dict[bytes, int] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)

    def takes(self, one: Record) -> bool:
        """Add a record if it fits."""
        count = self.counts.get(one.kind, 0) + one.entries
        if self.entries and (
            count > MOST_ENTRIES[one.kind]
            or self.entries + one.entries > MOST_TOGETHER
            or self.size + len(one.body) > MOST_BYTES
        ):
            return False
        if one.kind == PARAMS and not self._new_params(one.body):
            return False
        self.parts.setdefault(one.kind, []).append(one.body)
        self.counts[one.kind] = count
        self.entries += one.entries
        self.size += len(one.body) + 1
        return True

    def request(self, run_id: str) -> bytes:
        """Return the JSON of log-batch."""
        return request(run_id, {kind: b",".join(bodies) for kind, bodies in self.parts.items()})

    def singles(self) -> list[tuple[bytes, bytes]]:
        """Return kind and JSON of every entry."""
        return [
            (kind, entry)
            for kind, bodies in self.parts.items()
            for body in bodies
            for entry in record.entries_of(body)
        ]

    def _new_params(self, body: bytes) -> bool:
        # MLflow refuses a batch that has a param twice.
        names = [str(entry["key"]) for entry in json.loads(b"[%b]" % body)]
        if any(name in self.params for name in names):
            return False
        self.params.update(dict.fromkeys(names, ""))
        return True


def request(run_id: str, bodies: dict[bytes, bytes]) -> bytes:
    """Return the JSON of log-batch from bodies by kind."""
    parts = [b'"%b":[%b]' % (_NAMES[kind], body) for kind, body in bodies.items()]
    return b'{"run_id":%b,%b}' % (record.dumps(run_id), b",".join(parts))


def request_of(run_id: str, singles: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the JSON of log-batch from single entries."""
    bodies: dict[bytes, list[bytes]] = {}
    for kind, entry in singles:
        bodies.setdefault(kind, []).append(entry)
    return request(run_id, {kind: b",".join(found) for kind, found in bodies.items()})


def plan(records: Iterable[Record]) -> Iterator[Batch | Record]:
    """Yield batches and single records; whatever is not logged in batches keeps its place within its run."""
    pending: dict[str, Batch] = {}
    for one in records:
        if one.kind not in record.BATCHED:
            if one.ref in pending:
                yield pending.pop(one.ref)
            yield one
            continue
        batch = pending.setdefault(one.ref, Batch(one.ref))
        if not batch.takes(one):
            yield batch
            pending[one.ref] = Batch(one.ref)
            pending[one.ref].takes(one)
    yield from pending.values()


def bisect(
    singles: list[tuple[bytes, bytes]],
    send: Callable[[list[tuple[bytes, bytes]]], str | None],
    refuse: Callable[[tuple[bytes, bytes], str], None],
) -> None:
    """Send entries so that only those are refused that the server refuses alone; *send* returns a reason or None."""
    reason = send(singles)
    if reason is None:
        return
    if len(singles) == 1:
        refuse(singles[0], reason)
        return
    half = len(singles) // 2
    bisect(singles[:half], send, refuse)
    bisect(singles[half:], send, refuse)
