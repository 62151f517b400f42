# SPDX-License-Identifier: Apache-2.0
"""Backups are taken while others write, and what is restored is what was saved: runs, files, and what was told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mlops.tracking.adapters.backup import database_of
from mlops.tracking.adapters.database_postgres import program

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

WRITE = """
import itertools, mlflow
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id
for number in itertools.count():
    run = client.create_run(experiment, run_name=f"run {number}").info
    client.log_metric(run.run_id, "accuracy", number / 1000)
    client.log_text(run.run_id, "x" * 50_000 + str(number), "notes/a.txt")
    client.set_terminated(run.run_id)
    if number == 0:
        client.create_registered_model("rain")
        client.create_model_version("rain", run.artifact_uri + "/notes", run.run_id)
    print(run.run_id, flush=True)
"""
READ = """
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id
for run in client.search_runs([experiment], max_results=1000):
    text = open(client.download_artifacts(run.info.run_id, "notes/a.txt")).read() if run.info.status == "FINISHED" else ""
    print(run.info.run_id, run.info.status, run.data.metrics.get("accuracy"), text[-3:])
"""
ENDED = "SELECT count(*) FROM runs WHERE status = 'FINISHED'"
NOT_TOLD = "SELECT count(*) FROM mlops_outbox WHERE told_ms IS NULL"


async def command(tracking: Any, *words: str, code: int = 0) -> dict[str, Any]:
    """Run one of the commands as the CLI does, and return what it said."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops.tracking", *words, "--json"),
        env={"PATH": os.environ["PATH"], "MLOPS_HOME": str(tracking.home), **tracking.more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        said, progress = await child.communicate()
    assert child.returncode == code, progress.decode()
    assert b"Traceback" not in progress
    (line,) = said.decode().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def store_of(tracking: Any) -> Path:
    path: Path = tracking.home / "state" / "tracking" / "mlflow.db"
    return path


def ask(path: Path, question: str) -> int:
    connection = sqlite3.connect(path)
    (found,) = connection.execute(question).fetchone()
    connection.close()
    return int(found)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def written(tracking: Any, runs: int) -> asyncio.subprocess.Process:
    """Return somebody who writes runs, once there are some."""
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITE),
        env=tracking.client("rain"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=tracking.home,
    )
    assert writer.stdout is not None
    async with asyncio.timeout(60):
        while runs:
            # MLflow prints where to look at each run, too.
            runs -= bool(re.fullmatch(rb"[0-9a-f]{32}\n", await writer.stdout.readline()))
    return writer


async def test_a_backup_of_a_busy_service_comes_back_as_it_was(
    tracking: Any, listener: Any, tmp_path: Path
) -> None:
    await listener.register("rain")
    writer = await written(tracking, 15)
    saved = tmp_path / "saved"

    made = await command(tracking, "backup", str(saved))
    assert writer.returncode is None
    writer.kill()
    await writer.wait()
    refused = await command(tracking, "restore", str(saved), "--force", code=1)
    await tracking.kill(signal.SIGTERM)
    occupied = await command(tracking, "restore", str(saved), code=1)
    restored = await command(tracking, "restore", str(saved), "--force")

    held = store_of(tracking)
    told_before = {event["id"] for event in await listener.events()}
    ended, not_told = ask(held, ENDED), ask(held, NOT_TOLD)
    await tracking.start()
    said = await tracking.run_client(READ)
    manifest = json.loads((saved / "manifest.json").read_text())
    assert "the tracking service runs on this store" in refused["error"]
    assert "--force, which moves all that aside" in occupied["error"]
    assert (made["runs"], made["models"]) == (restored["runs"], restored["models"])
    assert made["runs"] >= 15
    assert made["runs"] == ask(held, "SELECT count(*) FROM runs")
    assert len(re.findall(r"FINISHED 0\.\d+ x*\d+", said)) == ended
    assert files(tracking.home / "artifacts") == files(saved / "artifacts")
    assert {file["path"] for file in manifest["files"]} == {*files(saved)} - {"manifest.json"}
    assert manifest["counts"]["runs"] == made["runs"]
    # What was moved aside is whole: nothing is lost.
    store, artifacts = (Path(path) for path in restored["moved_aside"])
    assert ask(store, "SELECT count(*) FROM runs") >= made["runs"]
    assert set(files(saved / "artifacts")) <= set(files(artifacts))
    # What was told is not told again, but under the id it had.
    async with asyncio.timeout(30):
        while ask(held, NOT_TOLD):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    after = Counter(event["id"] for event in await listener.events())
    assert not_told <= 5
    assert max(after.values()) == 1
    assert len(set(after) - told_before) <= not_told


async def test_a_damaged_or_newer_backup_is_refused_before_anything_is_touched(
    tracking: Any, listener: Any, tmp_path: Path
) -> None:
    await listener.register("rain")
    saved, bent, newer = (tmp_path / name for name in ("saved", "bent", "newer"))
    await command(tracking, "backup", str(saved))
    await tracking.kill(signal.SIGTERM)
    before = store_of(tracking).read_bytes()
    shutil.copytree(saved, bent)
    with (bent / "database.sqlite").open("r+b") as file:
        file.seek(5000)
        file.write(b"something else")
    shutil.copytree(saved, newer)
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps({**manifest, "schema_revision": "f00"}))

    damaged = await command(tracking, "restore", str(bent), "--force", code=1)
    too_new = await command(tracking, "restore", str(newer), "--force", code=1)
    twice = await command(tracking, "backup", str(saved), code=1)

    assert "is damaged: database.sqlite" in damaged["error"]
    assert "newer than this installation" in too_new["error"]
    assert "exists already" in twice["error"]
    assert store_of(tracking).read_bytes() == before
    assert not list(tracking.home.rglob("*.before-*"))


async def test_a_store_whose_leader_is_away_is_not_taken_from_its_service(
    tracking: Any, tmp_path: Path
) -> None:
    await command(tracking, "backup", str(tmp_path / "saved"))
    # A service whose bus is away leads nothing, and serves all the same.
    store_of(tracking).with_name("mlflow.db.leader").unlink()

    refused = await command(tracking, "restore", str(tmp_path / "saved"), "--force", code=1)

    assert "stop it first" in refused["error"]


async def test_a_postgresql_store_is_dumped_and_comes_back(
    unstarted: Any, postgres: Any, listener: Any, tmp_path: Path
) -> None:
    name = re.sub("[^a-z0-9]", "_", tmp_path.name.lower())
    unstarted.more["TRACKING_STORE_URI"] = postgres.database(name)
    await unstarted.start()
    await listener.register("rain")
    writer = await written(unstarted, 5)
    saved = tmp_path / "saved"

    made = await command(unstarted, "backup", str(saved))
    writer.kill()
    await writer.wait()
    refused = await command(unstarted, "restore", str(saved), "--force", code=1)
    await unstarted.kill(signal.SIGTERM)
    restored = await command(unstarted, "restore", str(saved), "--force")
    await unstarted.start()
    said = await unstarted.run_client(READ)

    assert "runs on this store" in refused["error"]
    assert made["runs"] == restored["runs"] >= 5
    assert len(re.findall(r"^[0-9a-f]{32} ", said, re.MULTILINE)) == made["runs"]
    assert restored["moved_aside"][0].startswith("public_before_")
    assert files(unstarted.home / "artifacts") == files(saved / "artifacts")


async def test_a_postgresql_store_stays_as_it_was_when_a_restore_is_broken_off(
    unstarted: Any, postgres: Any, tmp_path: Path
) -> None:
    name = re.sub("[^a-z0-9]", "_", tmp_path.name.lower())
    uri = postgres.database(name)
    unstarted.more["TRACKING_STORE_URI"] = uri
    await unstarted.start()
    await unstarted.kill(signal.SIGTERM)
    await command(unstarted, "backup", str(tmp_path / "saved"))
    # What reads the dump dies in the middle of it.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pg_restore").write_text(
        f'#!/bin/sh\ncase "$*" in *--list*) exec {program("pg_restore")} "$@";; esac\n'
        f'{program("pg_restore")} "$@" | head -n 200\nkill -9 $$\n'
    )
    (programs / "pg_restore").chmod(0o755)
    unstarted.more["PATH"] = f"{programs}:{os.environ['PATH']}"

    broken = await command(unstarted, "restore", str(tmp_path / "saved"), "--force", code=1)
    schemas = sa.inspect(sa.create_engine(uri, poolclass=sa.NullPool)).get_schema_names()
    unstarted.more["PATH"] = os.environ["PATH"]
    restored = await command(unstarted, "restore", str(tmp_path / "saved"), "--force")

    assert "pg_restore of" in broken["error"]
    assert not [schema for schema in schemas if "_before_" in schema]
    assert database_of(uri).holds()["experiments"] == restored["experiments"] >= 1
