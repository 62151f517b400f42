# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, and errors that name what, which, and the fix."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.commands.events import beginning, matching_types
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import refusal
from mlops.cli.main import app

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *words])


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLOPS_HOME", "")  # what --home sets is put back afterwards
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["projects"],
        ["workflow", "list"],
        ["workflow", "start", "-p", "rain"],
        ["workflow", "cancel", "k"],
        ["workflow", "why", "k"],
        ["run", "list"],
        ["run", "show", "r"],
        ["run", "compare", "--technique"],
        ["run", "tail", "r"],
        ["model", "list"],
        ["model", "show", "rain"],
        ["model", "promote", "rain", "1", "-p", "rain"],
        ["model", "rollback", "rain", "-p", "rain"],
        ["monitor"],
        ["monitor", "reference", "-p", "rain"],
        ["deployments"],
        ["undeploy", "rain", "-p", "rain"],
        ["dashboard"],
        ["alerts"],
        ["deploy", "rain", "2", "-p", "rain"],
        ["data", "add", "x.csv", "-p", "rain"],
        ["events", "tail"],
        ["events", "dlq", "list"],
        ["explain", "rain:1"],
    ],
)
def test_without_a_platform_the_code_is_3_and_the_fix_is_named(
    tmp_path: Path, words: list[str]
) -> None:
    found = run(tmp_path / "home", *words)

    assert found.exit_code == 3
    assert f"no platform runs in {tmp_path / 'home'}" in found.stderr
    assert "mlops up" in found.stderr
    assert "Traceback" not in found.output


def test_a_dead_platforms_address_is_code_3_too(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(
        '{"nats": "nats://127.0.0.1:1", "gateway": "http://127.0.0.1:1"}'
    )
    (tmp_path / "credentials.json").write_text('{"nats_token": "x", "gateway_token": "x"}')

    bus, gateway = run(tmp_path, "events", "tail"), run(tmp_path, "projects")

    assert (bus.exit_code, gateway.exit_code) == (3, 3)
    assert "the bus at nats://127.0.0.1:1 does not answer" in bus.stderr
    assert "the gateway at http://127.0.0.1:1 is away" in gateway.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["no-such-word"], "no-such-word"),
        (["deploy", "rain", "zero"], "version"),
        (["logs", "nats"], "no log of 'nats'"),
        (["workflow", "start"], "name it: --project"),
        (["register"], "mlops.toml"),
        (["events", "tail", "--type", "nonsense.*"], "no message type 'nonsense.*'"),
    ],
)
def test_wrong_input_is_code_2(tmp_path: Path, words: list[str], named: str) -> None:
    found = run(tmp_path / "home", *words)

    assert found.exit_code == 2
    assert named in found.stderr


def test_a_project_file_with_faults_is_refused_with_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "mlops.toml").write_text('name = "Rain Fall"\n[train]\ncomand = "x"\n')

    found = run(tmp_path / "home", "register")

    assert found.exit_code == 2
    assert "train.comand: unknown field" in found.stderr
    assert "did you mean command?" in found.stderr
    assert "name:" in found.stderr


def test_down_with_nothing_running_is_fine(tmp_path: Path) -> None:
    found = run(tmp_path / "home", "down", "--json")

    assert found.exit_code == 0
    assert json.loads(found.stdout)["was_running"] is False


def test_status_for_programs_says_that_nothing_runs(tmp_path: Path) -> None:
    found = run(tmp_path / "home", "status", "--json")

    assert found.exit_code == 3
    assert json.loads(found.stdout)["running"] is False


def test_up_refuses_an_unknown_component(tmp_path: Path) -> None:
    found = run(tmp_path / "home", "up", "--only", "natz")

    assert found.exit_code == 1
    assert "no component 'natz'" in found.stderr


def test_doctor_names_each_check_for_programs(tmp_path: Path) -> None:
    found = run(tmp_path / "home", "doctor", "--json")

    checks = {item["check"]: item["verdict"] for item in json.loads(found.stdout)}
    assert {"python", "disk", "ports", "nats-server", "evidently", "credentials"} <= set(checks)
    assert (found.exit_code == 1) == ("fail" in checks.values())


def test_doctor_finds_credentials_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{}")
    (tmp_path / "credentials.json").chmod(0o644)

    found = run(tmp_path, "doctor")

    assert found.exit_code == 1
    assert "chmod 600" in found.stdout


def test_every_word_has_help() -> None:
    found = CliRunner().invoke(app, ["--help"])

    words = {"up", "down", "status", "logs", "doctor", "dashboard", "validate", "register", "projects", "data", "run",
             "workflow", "model", "deploy", "undeploy", "deployments", "monitor", "alerts", "explain", "events", "spool",
             "backup", "restore", "import-mlflow", "demo", "test", "bench", "version"}  # fmt: skip
    assert {word for word in words if f" {word} " not in found.stdout} == set()


def test_a_refusal_of_the_gateway_keeps_what_which_and_fix() -> None:
    body = {
        "error": {
            "what": "not a command",
            "which": "cmd.x",
            "fix": "send one of: …",
            "problems": [{"field": "f", "problem": "p"}],
        }
    }

    refused, broken = refusal(422, body, "/x"), refusal(502, {}, "/x")

    assert isinstance(refused, InputError)
    assert refused.what == "not a command\n  f: p"
    assert refused.fix == "send one of: …"
    assert (type(broken), broken.code) == (CliError, 1)


@pytest.mark.parametrize(
    ("text", "live", "begin"),
    [
        ("", True, NOW),
        ("", False, None),
        ("all", True, None),
        ("10m", True, NOW - timedelta(minutes=10)),
        ("2026-01-31T11:00+00:00", True, NOW - timedelta(hours=1)),
    ],
)
def test_since_is_read_as_people_write_it(text: str, live: bool, begin: datetime | None) -> None:  # noqa: FBT001 - a table of cases
    assert beginning(text, NOW, live=live) == begin


def test_since_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match="cannot read --since 'soon'"):
        beginning("soon", NOW, live=True)


def test_patterns_choose_types_of_the_catalogue() -> None:
    assert matching_types(["model.*,drift.detected"]) == [
        "model.registered",
        "model.nominated",
        "model.promoted",
        "model.rejected",
        "drift.detected",
    ]
