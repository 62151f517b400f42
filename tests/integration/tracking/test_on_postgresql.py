# SPDX-License-Identifier: Apache-2.0
"""The real process on PostgreSQL: what a plain MLflow client does is told exactly once, also over kill -9."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers.programs import free_port

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

RUN_AND_REGISTER = """
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id
run = client.create_run(experiment, tags={"mlops.correlation_id": "story"}).info
client.log_metric(run.run_id, "accuracy", 0.8)
client.create_registered_model("rain")
client.create_model_version("rain", run.artifact_uri + "/model", run.run_id)
client.set_terminated(run.run_id)
print(run.run_id)
"""
BEAT_AND_DIE = """
import mlflow, os
mlflow.set_experiment("rain")
mlflow.start_run(tags={"mlops.heartbeat": "1 a"})
os._exit(0)
"""
COME_BACK = """
import mlflow
from concurrent.futures import ThreadPoolExecutor
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id
(run,) = client.search_runs([experiment])

def beat(number):
    client.set_tag(run.info.run_id, "mlops.heartbeat", f"{number} a")

with ThreadPoolExecutor(8) as threads:
    list(threads.map(beat, range(2, 10)))
print(client.get_run(run.info.run_id).info.status)
"""
BY_THE_CLIENT = ("run.started", "model.registered", "run.completed")

# Where a transaction stops until the test lets go of lock 1.
HALT = """
CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$
"""
# The commit of a run's end: kill -9 finds it on its way to disk, and nobody has heard of it.
AT_THE_COMMIT = """
CREATE CONSTRAINT TRIGGER halt AFTER INSERT ON mlops_outbox DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.body LIKE '%FINISHED%') EXECUTE FUNCTION halt()
"""
# The mark of a row whose message the bus has: kill -9 takes the mark back.
AT_THE_MARK = """
CREATE TRIGGER halt BEFORE UPDATE ON mlops_outbox
FOR EACH ROW WHEN (NEW.body LIKE '%FINISHED%') EXECUTE FUNCTION halt()
"""
HALTED = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"
THE_END = "SELECT told_ms FROM mlops_outbox WHERE body LIKE '%FINISHED%'"


class Database:
    """The store, seen from beside."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def do(self, *statements: str) -> None:
        for statement in statements:
            await self._connection.execute(statement.encode())

    async def ask(self, question: str) -> list[Any]:
        found = await self._connection.execute(question.encode())
        return await found.fetchall()

    async def until_halted(self) -> None:
        await self.until(HALTED, 1)

    async def let_go(self) -> None:
        await self.do("SELECT pg_advisory_unlock(1)")
        await self.until(HALTED, 0)

    async def until(self, question: str, rows: int) -> list[Any]:
        async with asyncio.timeout(60):
            while len(found := await self.ask(question)) != rows:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def database(unstarted: Any, postgres: Any, tmp_path: Path) -> AsyncIterator[Database]:
    name = re.sub("[^a-z0-9]", "_", tmp_path.name.lower())
    uri = postgres.database(name)
    unstarted.more["TRACKING_STORE_URI"] = uri
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        yield Database(connection)


@pytest.fixture
async def tracking(unstarted: Any, database: Database, listener: Any) -> Any:
    await database.do("SELECT 1")
    await unstarted.start()
    await listener.register("rain")
    return unstarted


async def test_a_run_and_its_model_are_told_once(
    tracking: Any, database: Database, listener: Any
) -> None:
    said = await tracking.run_client(RUN_AND_REGISTER)

    await listener.wait_for(1, "model.promoted")
    told = await told_in_the_end(listener, database, *BY_THE_CLIENT, "model.promoted")
    assert Counter(event["type"] for event in told) == dict.fromkeys(
        [*BY_THE_CLIENT, "model.promoted"], 1
    )
    assert {event["correlationid"] for event in told} == {"story"}
    assert {event["data"]["run_id"] for event in told} == {said.split()[-1]}
    [(runs,)] = await database.ask("SELECT count(*) FROM runs")
    assert runs == 1
    assert not (tracking.home / "state" / "tracking" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("halt", "heard"),
    [
        pytest.param(AT_THE_COMMIT, 0, id="between commit and publish"),
        pytest.param(AT_THE_MARK, 1, id="between publish and mark"),
    ],
)
async def test_kill_minus_nine_loses_and_doubles_nothing(
    tracking: Any, database: Database, listener: Any, halt: str, heard: int
) -> None:
    await database.do("SELECT pg_advisory_lock(1)", HALT, halt)
    client = asyncio.create_task(tracking.run_client(RUN_AND_REGISTER))
    await database.until_halted()

    await tracking.kill()
    await database.let_go()
    [(told_ms,)] = await database.until(THE_END, 1)
    before = await listener.events("run.completed")
    await tracking.start()
    await client

    assert (told_ms, len(before)) == (None, heard)
    told = await told_in_the_end(listener, database, *BY_THE_CLIENT)
    assert Counter(event["type"] for event in told) == dict.fromkeys(BY_THE_CLIENT, 1)


@pytest.mark.parametrize(
    ("halt", "heard"),
    [
        pytest.param(AT_THE_COMMIT, 0, id="between commit and publish"),
        pytest.param(AT_THE_MARK, 1, id="between publish and mark"),
    ],
)
async def test_a_stale_run_is_told_once_over_kill_minus_nine(
    unstarted: Any, database: Database, listener: Any, halt: str, heard: int
) -> None:
    quick = {"TRACKING_REAP_EVERY": "0.5s", "TRACKING_STALE_AFTER": "3s"}
    unstarted.more.update(quick)
    await unstarted.start()
    await listener.register("rain")
    halt = halt.replace("FINISHED", "RunWentStale")
    await database.do("SELECT pg_advisory_lock(1)", HALT, halt)

    await unstarted.run_client(BEAT_AND_DIE)
    await database.until_halted()
    await unstarted.kill()
    await database.let_go()
    await database.until(THE_END.replace("FINISHED", "RunWentStale"), 1)
    before = await listener.events("run.stale")
    await unstarted.start()

    await listener.wait_for(1, "run.stale")
    await database.until("SELECT id FROM mlops_outbox WHERE told_ms IS NULL", 0)
    told = await listener.events("run.started", "run.stale", "run.failed")
    assert len(before) == heard
    assert [event["type"] for event in told] == ["run.started", "run.stale"]
    assert await database.ask("SELECT status FROM runs") == [("KILLED",)]


async def test_a_stale_run_whose_writers_come_back_together_is_opened_once(
    unstarted: Any, database: Database, listener: Any
) -> None:
    unstarted.more.update({"TRACKING_REAP_EVERY": "0.5s", "TRACKING_STALE_AFTER": "6s"})
    await unstarted.start()
    await listener.register("rain")
    await unstarted.run_client(BEAT_AND_DIE)
    await listener.wait_for(1, "run.stale")

    said = await unstarted.run_client(COME_BACK)
    await database.until("SELECT id FROM mlops_outbox WHERE told_ms IS NULL", 0)

    told = await listener.events("run.started", "run.stale")
    assert "RUNNING" in said
    assert [event["type"] for event in told[:3]] == ["run.started", "run.stale", "run.started"]
    assert [event["data"].get("resumed") for event in told].count(True) == 1


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        (
            "mlops:secret@127.0.0.1:{port}/postgres",
            "correct user and password in TRACKING_STORE_URI",
        ),
        ("mlops:{password}@127.0.0.1:{port}/nothing", "create it, or correct the name"),
        (
            "mlops:{password}@127.0.0.1:{free}/postgres",
            "start the server, or correct host and port",
        ),
    ],
)
async def test_a_store_that_cannot_be_reached_is_said_at_start(
    unstarted: Any, postgres: Any, wrong: str, fix: str
) -> None:
    known = {"port": postgres.port, "password": postgres.password, "free": free_port()}
    unstarted.more["TRACKING_STORE_URI"] = "postgresql://" + wrong.format(**known)

    await unstarted.launch()
    async with asyncio.timeout(60):
        code = await unstarted.process.wait()

    assert code == 1
    assert fix in unstarted.log
    assert "Traceback" not in unstarted.log
    assert postgres.password not in unstarted.log


async def told_in_the_end(listener: Any, database: Database, *types: str) -> list[dict[str, Any]]:
    """Return what the bus holds once every row of the outbox is told."""
    await listener.wait_for(1, "run.completed")
    await database.until("SELECT id FROM mlops_outbox WHERE told_ms IS NULL", 0)
    found: list[dict[str, Any]] = await listener.events(*types)
    return found
