# SPDX-License-Identifier: Apache-2.0
"""Full, read-only and failing disks: metrics are dropped only when everything is full, and then counted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlops.client.spool import segments
from mlops.client.spool.journal import Journal
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import END, encode_object
from servers.memory_tracking import MemoryTracking
from servers.spools import PLENTY, TARGET, began, courier_of, deliver, journal_in, point, steps


def test_full_spool_drops_metrics_and_counts_them_but_keeps_what_matters(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, most=20_000)

    kept = [journal.append(point("a", step), 1, droppable=True) for step in range(500)]
    end = journal.append(encode_object(END, "a", {"status": "FINISHED", "at": 1}), 1)

    assert kept.count(False) == journal.dropped > 0
    assert segments.size_of(tmp_path) <= 20_000
    assert end


class Disk:
    """`os.write` on a disk that is full for a while: it takes a few bytes, then none."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self._write = os.write

    def write(self, descriptor: int, data: bytes) -> int:
        if self.takes <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = min(self.takes, len(data))
        self.takes -= size
        return self._write(descriptor, data[:size])


@pytest.mark.parametrize("takes", [0, 10, 1000, 1013])
def test_full_disk_is_replaced_by_memory_and_everything_arrives_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: int
) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    disk = Disk(takes)
    monkeypatch.setattr("mlops.client.spool.journal.quick_write", disk.write)
    server = MemoryTracking()

    for step in range(50):
        journal.append(point("a", step), 1, droppable=True)
    in_memory = journal.waits_in_memory()
    disk.takes = PLENTY
    journal.recover()
    for step in range(50, 60):
        journal.append(point("a", step), 1, droppable=True)
    deliver(journal, courier_of(journal, server))

    assert in_memory > 0
    assert journal.waits_in_memory() == 0
    assert steps(server, "a") == list(range(60))
    assert journal.dropped == 0


def test_read_only_folder_is_no_reason_to_lose_anything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "spool", TARGET, Quota(tmp_path / "none", PLENTY))
    server = MemoryTracking()

    journal.append(began("a", journal.id), 1)
    for step in range(10):
        journal.append(point("a", step), 1, droppable=True)
    deliver(journal, courier_of(journal, server))

    assert journal.disk_problem
    assert not journal.on_disk
    assert steps(server, "a") == list(range(10))


def test_memory_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.client.spool.journal.MEMORY_BYTES", 1000)
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "spool", TARGET, Quota(tmp_path / "none", PLENTY))

    kept = [journal.append(point("a", step), 1, droppable=True) for step in range(100)]

    assert kept.count(False) == journal.dropped > 0
