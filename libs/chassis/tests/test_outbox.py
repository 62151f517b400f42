# SPDX-License-Identifier: Apache-2.0
"""The outbox keeps order and survives its process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.chassis.outbox import Outbox


def test_messages_come_out_in_order_and_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")

    for number in (1, 2, 2, 3):
        outbox.put(f"m-{number}", "alert.resolved.rain", b"{}")

    assert [one.id for one in outbox.oldest()] == ["m-1", "m-2", "m-3"]
    assert len(outbox) == 3
    outbox.close()


def test_what_waits_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    first.put("m-1", "alert.resolved.rain", b"{}")
    first.close()

    second = Outbox(tmp_path / "outbox.db")
    second.remove(second.oldest()[0].seq)

    assert len(second) == 0
    second.close()


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox._db.execute("PRAGMA max_page_count = 4")

    with pytest.raises(UnavailableError, match="free disk space"):
        outbox.put("m-1", "alert.resolved.rain", os.urandom(200_000))

    outbox.close()
