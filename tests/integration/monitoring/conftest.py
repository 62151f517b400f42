# SPDX-License-Identifier: Apache-2.0
"""Whoever speaks with the service: a bus of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlops.chassis.bus_nats import NatsBus
from servers.nats import NatsServer


@pytest.fixture
async def bus(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    outbox = tmp_path / "probe.db"
    found = NatsBus(nats_server.url, token=nats_server.token, name="probe", outbox=outbox)
    await found.start()
    yield found
    await found.stop()
