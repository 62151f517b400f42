# SPDX-License-Identifier: Apache-2.0
"""run, model, spool, backup, validate and dashboard with the real bus, tracking and gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from integration.cli.conftest import Platform, eventually
from mlops.cli.home import read_json

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(360)]

LOGS = """
import sys
from mlops.client import MLOpsClient
client = MLOpsClient.from_project("rain")
with client.start_run(sys.argv[1], tags={"mlops.technique": sys.argv[1]}):
    client.log_params({"rate": sys.argv[2]})
    for step in range(3):
        client.log_metrics({"loss": float(sys.argv[2]) / (step + 1)}, step=step)
"""
WITHOUT_TRACKING = ("nats", "workspaces", "gateway")
WITH_TRACKING = (*WITHOUT_TRACKING, "tracking")


def train(platform: Platform, name: str, rate: str) -> None:
    environment = {
        **os.environ,
        "MLOPS_HOME": str(platform.home),
        "MLOPS_FLUSH_TIMEOUT_S": "2",
        "GIT_CEILING_DIRECTORIES": str(platform.home.parent),
    }
    subprocess.run(
        [sys.executable, "-c", LOGS, name, rate],
        check=True,
        env=environment,
        cwd=platform.home.parent,
        timeout=90,
    )


def register(platform: Platform) -> None:
    """Make the project known without waiting for services that do not run here."""
    folder = platform.home.parent
    (folder / "mlops.toml").write_text('name = "rain"\n')
    data = {"settings": {"name": "rain"}, "path": str(folder)}
    wish = {"type": "cmd.project.register", "project": "rain", "data": data}
    (folder / "wish.json").write_text(json.dumps(wish))
    said = platform.run("events", "publish", "wish.json")
    assert said.returncode == 0, said.stderr
    eventually(lambda: "rain" in platform.run("projects").stdout)


def validated(platform: Platform) -> dict[str, str]:
    found = json.loads(platform.run("validate", "--json").stdout)
    return {one["check"]: one["outcome"] for one in found}


def test_what_was_logged_without_a_server_is_delivered_shown_compared_and_backed_up(
    platform: Platform, tmp_path: Path
) -> None:
    platform.up(*WITHOUT_TRACKING)
    register(platform)
    train(platform, "first", "1.0")
    waiting = platform.run("spool", "flush", "--timeout", "5")
    platform.run("down")
    stopped = platform.run("spool", "flush", "--timeout", "5")

    platform.up(*WITH_TRACKING)
    eventually(lambda: validated(platform)["workspace"] == "passed", 90)
    # On a busy machine the server may begin to answer after a flush has given it up.
    eventually(lambda: platform.run("spool", "flush").returncode == 0, 90)
    flushed = platform.run("spool", "flush", "--json")
    train(platform, "second", "0.5")

    assert (waiting.returncode, stopped.returncode, flushed.returncode) == (1, 3, 0)
    assert sum(one["waiting"] for one in json.loads(flushed.stdout)) == 0
    _runs_are_shown(platform)
    _a_backup_is_made(platform, tmp_path / "copy")
    _the_page_opens(platform)


def _runs_are_shown(platform: Platform) -> None:
    found = json.loads(platform.run("run", "list", "--json").stdout)
    tailed = platform.run("run", "tail", "first")
    compared = json.loads(platform.run("run", "compare", "first", "second", "--json").stdout)
    shown = platform.run("run", "show", "second")
    best = platform.run("run", "compare", "--technique")

    assert [(run["name"], run["status"]) for run in found] == [
        ("second", "FINISHED"),
        ("first", "FINISHED"),
    ]
    assert tailed.stdout.split() == [
        "step", "0", "loss=1", "step", "1", "loss=0.5", "step", "2", "loss=0.3333", "finished",
    ]  # fmt: skip
    (loss,) = [row for row in compared["rows"] if row["name"] == "loss"]
    assert loss["best"] == 1
    assert "rate" in shown.stdout
    assert "first" in best.stdout
    assert platform.run("run", "show", "third").returncode == 2
    assert json.loads(platform.run("model", "list", "--json").stdout) == []


def _a_backup_is_made(platform: Platform, copy: Path) -> None:
    made = platform.run("backup", str(copy), "--json")
    again = platform.run("backup", str(copy))
    over = platform.run("restore", str(copy))

    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["runs"] == 2
    assert (again.returncode, over.returncode) == (1, 1)
    assert "name a new folder" in again.stderr
    assert "mlops down" in over.stderr


def _the_page_opens(platform: Platform) -> None:
    url = json.loads(platform.run("dashboard", "--mlflow", "--json").stdout)["url"]
    gateway = read_json(platform.home / "endpoints.json")["gateway"]

    with httpx.Client(follow_redirects=True, trust_env=False) as browser:
        page = browser.get(url)

    assert page.status_code == 200
    assert str(page.url) == f"{gateway}/mlflow/"
    assert "MLflow" in page.text
