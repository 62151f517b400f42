# SPDX-License-Identifier: Apache-2.0
"""validate: each fault of a project is found with its fix; a running platform is asked and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door, Refuse

from mlops.cli.validation import programs

GOOD = """
name = "rain"
[train]
command = "./python train.py"
[data.datasets]
days = "data/days.csv"
[serve]
model = "rain"
"""


@pytest.fixture
def project(door: Door) -> Door:
    door.answers["/v2/health/live"] = {"live": True}
    door.answers["/api/v1/projects"] = {"projects": [registered()]}
    door.answers["/api/v1/events"] = {"id": "e"}
    Path("mlops.toml").write_text(GOOD)
    programme("python", "echo mlflow 3.17.2")  # importing the real one takes seconds each time
    Path("train.py").write_text("print('training')\n")
    Path("data").mkdir()
    Path("data/days.csv").write_text("a\n1\n")
    Path(".gitignore").write_text("data/\nhome/\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    return door


def programme(path: str, does: str) -> None:
    Path(path).write_text(f"#!/bin/sh\n{does}\n")
    Path(path).chmod(0o755)


def git(*words: str) -> None:
    own = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *own, *words], check=True)


def registered(**more: object) -> dict[str, Any]:
    made = {"tracking": {"names": {"mlflow_workspace": "rain"}, "reason": ""}}
    return {"project": "rain", "state": "active", "provisioned": made, **more}


def outcomes(door: Door) -> dict[str, str]:
    found = door.run("validate", "--json")
    return {one["check"]: one["outcome"] for one in _checks(found.stdout)}


def _checks(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(text)
    return found


def test_a_good_project_passes_everything(project: Door) -> None:
    found = project.run("validate", "--json")

    assert found.exit_code == 0, found.output
    assert outcomes(project) == {
        "project file": "passed",
        "model": "passed",
        "[train] command": "passed",
        "[evaluate] command": "skipped",
        "mlflow": "passed",
        "dataset days": "passed",
        "git": "passed",
        "platform": "passed",
        "token": "passed",
        "workspace": "passed",
    }


def test_the_platform_is_told_of_each_check(project: Door) -> None:
    project.run("validate")

    told = {one["data"]["check"]: one for one in project.bodies("/api/v1/events")}
    assert told["git"]["type"] == "validation.finished"
    assert told["git"]["data"]["outcome"] == "passed"
    assert told["[evaluate] command"]["data"]["outcome"] == "skipped"
    assert len(told) == 10


@pytest.mark.parametrize(
    ("old", "new", "check", "fix"),
    [
        ('name = "rain"\n[', 'name = "Ra in"\n[', "project file", "a-z"),
        ("command", "comand", "project file", "did you mean command?"),
        ("train.py", "tran.py", "[train] command", "relative to the project's folder"),
        ("./python", "no-such-program", "[train] command", "install it"),
        ("./python", "./no-such-program", "[train] command", "install it"),
        ("train.py", "'train.py", "[train] command", "close the quotes"),
        ("data/days.csv", "data/nights.csv", "dataset days", "correct the path"),
        ("data/days.csv", "../days.csv", "dataset days", "into the project's folder"),
        ("data/days.csv", "train.py", "dataset days", "git rm -r --cached train.py"),
        ('"rain"\n', '"-rain"\n', "model", "begin it with a letter"),
    ],
)
def test_a_fault_fails_with_its_fix(
    project: Door, old: str, new: str, check: str, fix: str
) -> None:
    where = GOOD.rfind(old) if check == "model" else GOOD.find(old)
    Path("mlops.toml").write_text(GOOD[:where] + new + GOOD[where + len(old) :])

    found = project.run("validate", "--json")

    failed = [one for one in _checks(found.stdout) if one["outcome"] == "failed"]
    assert found.exit_code == 1
    assert check in {one["check"] for one in failed}
    assert fix in " ".join(one["fix"] for one in failed)


def test_a_dataset_that_waits_on_the_remote_is_a_warning(project: Door) -> None:
    Path("data/days.csv").rename("data/elsewhere.csv")
    Path("data/days.csv.dvc").write_text("outs: []\n")

    found = project.run("validate")

    assert found.exit_code == 0
    assert "mlops data pull" in found.stdout


def test_an_empty_folder_is_no_dataset(project: Door) -> None:
    Path("data/days.csv").unlink()
    Path("data/days.csv").mkdir()

    assert outcomes(project)["dataset days"] == "failed"


def test_code_that_differs_from_its_commit_is_a_warning(project: Door) -> None:
    programme("python", "echo mlflow 3.17.2")  # importing the real one takes seconds each time
    Path("train.py").write_text("print('other')\n")

    assert outcomes(project)["git"] == "warning"


def test_python_with_mlflow_says_which(project: Door) -> None:
    programme("python", f'exec {sys.executable} "$@"')

    found = project.run("validate", "--json")

    (mlflow,) = [one for one in _checks(found.stdout) if one["check"] == "mlflow"]
    assert mlflow["outcome"] == "passed"
    assert mlflow["found"] == f"mlflow {version('mlflow')}, {sys.executable}"


def test_python_without_mlflow_is_found_out_by_asking_it(project: Door) -> None:
    programme("python", f'exec {sys.executable} -S "$@"')  # no installed packages

    found = project.run("validate", "--json")

    (mlflow,) = [one for one in _checks(found.stdout) if one["check"] == "mlflow"]
    assert mlflow["outcome"] == "failed"
    assert "neither mlflow" in mlflow["found"]
    assert "uv add" in mlflow["fix"]


def test_python_that_never_answers_is_left_after_a_bound(
    project: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    programme("python", "exec sleep 30")
    monkeypatch.setattr(programs, "_ASK_S", 0.3)

    assert outcomes(project)["mlflow"] == "failed"


def test_without_a_platform_the_project_is_still_looked_at(project: Door) -> None:
    (project.home / "endpoints.json").unlink()

    found = project.run("validate", "--json")

    assert found.exit_code == 0
    assert [one["outcome"] for one in _checks(found.stdout)][-1] == "skipped"


def test_a_platform_that_does_not_answer_or_opens_not_fails(project: Door) -> None:
    (project.home / "credentials.json").write_text('{"gateway_token": "wrong"}')
    locked = project.run("validate", "--json")
    (project.home / "endpoints.json").write_text('{"gateway": "http://127.0.0.1:1"}')
    away = project.run("validate", "--json")

    assert (locked.exit_code, away.exit_code) == (1, 1)
    assert _checks(away.stdout)[-1]["check"] == "platform"
    assert project.bodies("/api/v1/events") == []


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        ([], "warning"),
        ([registered(state="archived")], "failed"),
        ([registered(provisioned={})], "warning"),
        ([registered(provisioned={"serving": {"names": {}, "reason": "taken"}})], "failed"),
    ],
    ids=["not registered", "archived", "not yet made", "refused"],
)
def test_its_workspace_is_looked_at(
    project: Door, known: list[dict[str, Any]], outcome: str
) -> None:
    project.answers["/api/v1/projects"] = {"projects": known}

    assert outcomes(project)["workspace"] == outcome
    assert bool(project.bodies("/api/v1/events")) == bool(known)


def test_a_platform_that_takes_no_events_changes_no_verdict(project: Door) -> None:
    project.answers["/api/v1/events"] = Refuse(422, "events are not taken")

    found = project.run("validate")

    assert found.exit_code == 0
    assert "events are not taken" in found.stderr


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("python train.py", ["python"]),
        ("/usr/bin/python3.11 -m train", ["/usr/bin/python3.11"]),
        ("uv run --no-sync train.py", ["uv", "run", "--no-sync", "python"]),
        ("uv run --with rich --no-sync python x.py", ["uv", "run", "--no-sync", "python"]),
        ("poetry run train", ["poetry", "run", "python"]),
        ("make train", None),
        ("", None),
    ],
)
def test_the_projects_own_python_is_known_from_its_command(
    command: str, python: list[str] | None
) -> None:
    assert programs.interpreter(command.split()) == python


def test_the_environment_of_the_check_is_that_of_a_training(
    project: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    told = tmp_path / "told"
    programme("python", f'echo "$PYTHONPATH" > {told}; echo mlflow')

    assert outcomes(project)["mlflow"] == "passed"
    assert told.read_text() == "\n"
    assert os.environ["PYTHONPATH"] == "/somewhere"


def test_both_commands_of_a_training_together_are_looked_into(project: Door) -> None:
    together = '[federated]\ncommand = "./python train.py"\naggregate = "./python mean.py"\n'
    Path("mlops.toml").write_text(GOOD + together)

    found = outcomes(project)

    assert (found["[federated] command"], found["[federated] aggregate"]) == ("passed", "failed")


def test_half_of_a_training_together_is_none(project: Door) -> None:
    Path("mlops.toml").write_text(GOOD + '[federated]\ncommand = "./python train.py"\n')

    found = project.run("validate", "--json")

    (failed,) = [one for one in _checks(found.stdout) if one["outcome"] == "failed"]
    assert failed["check"] == "[federated] aggregate"
    assert "[federated] needs both" in failed["fix"]
