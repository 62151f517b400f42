# SPDX-License-Identifier: Apache-2.0
"""How much memory there is for serving."""

from __future__ import annotations

from pathlib import Path

import psutil

from mlops.serving.adapters.machine import machine_bytes


def test_it_is_the_machines() -> None:
    assert machine_bytes(()) == psutil.virtual_memory().total


def test_a_container_that_may_take_less_counts(tmp_path: Path) -> None:
    limit, unlimited = tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text("1073741824\n")
    unlimited.write_text("max\n")

    assert machine_bytes((limit, unlimited, tmp_path / "missing")) == 2**30
