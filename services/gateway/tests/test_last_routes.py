# SPDX-License-Identifier: Apache-2.0
"""The last routes: a gateway that starts while serving is away sends callers where they went before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from services.gateway.tests.conftest import BEARER, ROW, TOKEN, House, Replica

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.clock import Clock
from mlops.gateway.adapters.aiohttp import AiohttpReplicas
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.adapters.routes_file import RoutesFile
from mlops.gateway.app import Outside, wire
from mlops.gateway.settings import Settings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTE = {"project": "p", "model": "m", "versions": [{"version": 1, "url": "u", "weight": 1.0}]}
ANSWER = {"routes": [ROUTE]}
INFER = "/v2/models/rain/infer"

Ask = Callable[[Clock], Awaitable[httpx.Response]]


@pytest.fixture
async def ask_anew(settings: Settings, tmp_path: Path) -> AsyncIterator[Ask]:
    """Ask a gateway that has just started on an empty bus, in the same home."""
    replicas = AiohttpReplicas(timedelta(seconds=2), TOKEN)

    async def ask(clock: Clock) -> httpx.Response:
        last = RoutesFile(tmp_path / "routes.json", clock)
        meter = PrometheusMeter(CollectorRegistry())
        files = FilesFolder(tmp_path / "files", settings.files_max_bytes, settings.files_keep)
        gateway = wire(MemoryBus(), Outside(replicas, meter, last, files), settings)
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers=BEARER
        ) as client:
            return await client.post(INFER, json=ROW)

    yield ask
    await replicas.close()


@pytest.mark.parametrize(
    ("age", "status"),
    [(timedelta(0), 200), (timedelta(minutes=59), 200), (timedelta(minutes=62), 503)],
)
async def test_restarted_gateway_answers_without_serving_for_an_hour(
    house: House,
    replica: Callable[[int], Awaitable[Replica]],
    ask_anew: Ask,
    age: timedelta,
    status: int,
) -> None:
    await house.route("rainfall", "rain", (await replica(3), 1.0))

    answer = await ask_anew(lambda: datetime.now(UTC) + age)

    assert answer.status_code == status
    assert answer.headers.get("mlops-model-version") == ("3" if status == 200 else None)


def test_same_routes_are_written_once_a_minute(tmp_path: Path) -> None:
    now = [NOON]
    path = tmp_path / "routes.json"
    file = RoutesFile(path, lambda: now[0])
    written = []
    for _ in range(121):
        file.note(ANSWER)
        written.append(path.read_text())
        now[0] += timedelta(seconds=1)

    assert len(set(written)) == 3
    assert file.recall() == ANSWER


def test_other_routes_are_written_at_once(tmp_path: Path) -> None:
    file = RoutesFile(tmp_path / "routes.json", lambda: NOON)

    file.note(ANSWER)
    file.note({"routes": []})

    assert file.recall() == {"routes": []}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"told_at": "soon", "answer": {}}', '{"told_at": 3}', "null"]
)
def test_file_that_is_broken_is_no_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "routes.json"
    path.write_text(text)

    assert RoutesFile(path, lambda: NOON).recall() is None


def test_place_that_cannot_be_written_costs_only_the_note(tmp_path: Path) -> None:
    file = RoutesFile(tmp_path / "nowhere" / "routes.json", lambda: NOON)

    file.note(ANSWER)

    assert file.recall() is None


def test_routes_from_the_future_are_not_believed(tmp_path: Path) -> None:
    path: Any = tmp_path / "routes.json"
    RoutesFile(path, lambda: NOON + timedelta(days=1)).note(ANSWER)

    assert RoutesFile(path, lambda: NOON).recall() is None
