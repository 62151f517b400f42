# SPDX-License-Identifier: Apache-2.0
"""Two real processes on one store: both serve MLflow's API, one tells; kill -9 of that one loses and doubles nothing."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from mlops.tracking.adapters.locks import ServerLock, own_name
from servers.programs import free_port

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(300)]

RUNS = """
from concurrent.futures import ThreadPoolExecutor
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id

def one(number):
    run_id = client.create_run(experiment).info.run_id
    client.log_metric(run_id, "accuracy", number / 60)
    client.set_terminated(run_id)
    print(run_id, flush=True)

with ThreadPoolExecutor(4) as threads:
    list(threads.map(one, range(60)))
"""
ONE = RUNS.replace("range(60)", "range(1)")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    name = re.sub("[^a-z0-9]", "_", tmp_path.name.lower())
    uri: str = request.getfixturevalue("postgres").database(name)
    return uri


@pytest.fixture
async def pair(
    unstarted: Any, listener: Any, store: str, tmp_path: Path
) -> AsyncIterator[tuple[Any, Any]]:
    """The leader, and the other one."""
    shared = {"TRACKING_STORE_URI": store, "TRACKING_ARTIFACTS": str(tmp_path / "artifacts")}
    home = tmp_path / "second"
    home.mkdir()
    second = type(unstarted)(home, unstarted.nats_url, unstarted.nats_token, free_port())
    for each in (unstarted, second):
        each.more.update(shared)
    try:
        if store.startswith("sqlite"):
            await unstarted.start()
            await second.start()
        else:
            # On an empty database, both at once.
            await asyncio.gather(unstarted.start(), second.start())
        await listener.register("rain")
        pid = await leader(listener)
        found = {each.process.pid: each for each in (unstarted, second)}
        leads = found.pop(pid)
        (follows,) = found.values()
        yield leads, follows
    finally:
        if second.process is not None:
            await second.kill()


async def test_the_leader_tells_what_the_other_one_took(pair: Any, listener: Any) -> None:
    leads, follows = pair

    said = await follows.run_client(ONE)
    (completed,) = await listener.wait_for(1, "run.completed")

    assert completed["data"]["run_id"] in said
    # Not by waiting for the follower to lead.
    assert await leader(listener) == leads.process.pid


async def test_kill_of_the_leader_in_the_middle_loses_and_doubles_nothing(
    pair: Any, listener: Any
) -> None:
    leads, follows = pair
    client = asyncio.create_task(follows.run_client(RUNS))
    await listener.wait_for(15, "run.completed")
    assert not client.done()

    await leads.kill()
    async with asyncio.timeout(60):
        while await leader(listener) != follows.process.pid:
            await asyncio.sleep(0.1)
    said = await client

    run_ids = set(re.findall(r"\b[0-9a-f]{32}\b", said))
    assert len(run_ids) == 60
    await listener.wait_for(60, "run.completed")
    await asyncio.sleep(2)
    told = await listener.events("run.started", "run.completed")
    assert Counter((event["type"], event["data"]["run_id"]) for event in told) == dict.fromkeys(
        [(type_, run_id) for type_ in ("run.started", "run.completed") for run_id in run_ids], 1
    )
    assert len({event["id"] for event in told}) == len(told)
    order = {(event["data"]["run_id"], event["type"]): place for place, event in enumerate(told)}
    assert all(order[run_id, "run.started"] < order[run_id, "run.completed"] for run_id in run_ids)


async def test_a_leader_that_stops_hands_over_at_once(pair: Any, listener: Any) -> None:
    leads, follows = pair

    await leads.kill(15)
    async with asyncio.timeout(5):
        while await leader(listener) != follows.process.pid:
            await asyncio.sleep(0.1)
    said = await follows.run_client(ONE)

    (completed,) = await listener.wait_for(1, "run.completed")
    assert completed["data"]["run_id"] in said


async def test_a_leader_whose_connection_is_cut_knows_it(postgres: Any, tmp_path: Path) -> None:
    name = re.sub("[^a-z0-9]", "_", tmp_path.name.lower())
    url = sa.make_url(postgres.database(name))
    first, second = ServerLock(url), ServerLock(url)
    assert (first.take(), second.take()) == (True, False)
    assert second.holder() == own_name()

    with psycopg.connect(postgres.uri(name), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mlops-tracking%'"
        )
        while second.holder() is not None:
            await asyncio.sleep(0.02)

    with pytest.raises(sa.exc.SQLAlchemyError):
        first.take()
    assert (second.take(), first.take()) == (True, False)
    second.release()
    while not first.take():
        await asyncio.sleep(0.02)
    first.release()


async def leader(listener: Any) -> int:
    async with asyncio.timeout(30):
        while True:
            try:
                found = await listener.bus.ask("tracking", "leader", {})
            except Exception:  # noqa: BLE001 - the one that was asked may just have been killed
                found = {}
            if found.get("leader"):
                return int(str(found["leader"]).split()[-1])
            await asyncio.sleep(0.1)
