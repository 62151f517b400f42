# SPDX-License-Identifier: Apache-2.0
"""The buses that promise the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servers.buses import Harness, MemoryHarness, NatsHarness


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.server)])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
        return
    nats = NatsHarness(request.getfixturevalue("nats_server"), tmp_path)
    yield nats
    await nats.close()
