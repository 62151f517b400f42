# SPDX-License-Identifier: Apache-2.0
"""spool, backup, restore, import-mlflow, dashboard: what is kept, moved and looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from libs.cli.tests.conftest import TOKEN, Door

from mlops.cli.commands.original import app as original
from mlops.client.spool.journal import Journal
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import START, encode_object
from mlops.client.spool.refused import Refusal, Refusals
from mlops.client.spool.target import Target

NOWHERE = Target("http://127.0.0.1:1", "rain", "rain")


@pytest.fixture
def spool(door: Door, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = door.home / "spool"
    monkeypatch.setenv("XDG_STATE_HOME", str(door.home / "state"))
    return folder


def left_behind(folder: Path) -> str:
    """Write what a process that died would leave; return its journal."""
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, NOWHERE, Quota(folder, 1_000_000_000))
    journal.append(encode_object(START, "r1", {"name": "first"}), 1)
    journal.sync()
    journal.close(remove=False)
    return journal.id


def test_list_needs_no_platform(door: Door, spool: Path) -> None:
    journal = left_behind(spool)
    (door.home / "endpoints.json").unlink()

    own, users = door.json("spool", "list")

    assert own["folder"] == str(spool)
    assert users["folder"] == str(door.home / "state" / "mlops" / "spool")
    assert [(one["journal"], one["waiting"], one["writing"]) for one in own["journals"]] == [
        (journal, 1, False)
    ]
    assert door.json("spool", "list", "-p", "snow")[0]["journals"] == []
    assert "left behind" in door.run("spool", "list").stdout


def test_flush_of_nothing_is_fine(door: Door, spool: Path) -> None:
    found = door.run("spool", "flush")

    assert found.exit_code == 0
    assert "nothing waits" in found.stdout
    assert not spool.exists()


def test_flush_that_delivers_not_everything_says_what_waits(door: Door, spool: Path) -> None:
    left_behind(spool)

    with_platform = door.run("spool", "flush", "--timeout", "5")
    (door.home / "endpoints.json").unlink()
    without = door.run("spool", "flush", "--timeout", "5")

    assert (with_platform.exit_code, without.exit_code) == (1, 3)
    assert "1 entries wait" in with_platform.stderr
    assert "mlops up" in without.stderr
    assert door.json("spool", "list")[0]["waiting"] == 1


def test_what_was_refused_can_be_tried_again(door: Door, spool: Path) -> None:
    spool.mkdir()
    body = '{"name": "first"}'
    Refusals(spool).add(
        Refusal("j1", NOWHERE, "r1", "", START.decode(), body, 1, "no such experiment")
    )

    listed = door.run("spool", "list").stdout
    found = door.json("spool", "retry")

    assert "no such experiment" in listed
    assert found == {"entries": 1}
    assert [one["waiting"] for one in door.json("spool", "list")[0]["journals"]] == [1]


def test_refused_ones_are_tried_again_by_the_beginning_that_list_shows(
    door: Door, spool: Path
) -> None:
    spool.mkdir()
    for journal in ("aaaaaaaa-1", "bbbbbbbb-2"):
        Refusals(spool).add(Refusal(journal, NOWHERE, journal, "", START.decode(), "{}", 1, "no"))

    found = door.json("spool", "retry", "aaaaaaaa")

    assert found == {"entries": 1}
    assert [one["journal"] for one in door.json("spool", "list")[0]["refused"]] == ["bbbbbbbb-2"]


def test_what_a_living_process_writes_is_neither_thrown_away_nor_waited_for(
    door: Door, spool: Path
) -> None:
    spool.mkdir()
    journal = Journal(spool, NOWHERE, Quota(spool, 1_000_000_000))
    journal.append(encode_object(START, "r1", {"name": "first"}), 1)
    journal.sync()
    try:
        thrown = door.run("spool", "discard", journal.id, "--yes", "--json")
        flushed = door.run("spool", "flush", "--timeout", "5")
        (listed,) = door.json("spool", "list")[0]["journals"]
    finally:
        journal.close(remove=False)

    assert (thrown.exit_code, thrown.stdout) == (1, "")
    assert "still writes" in thrown.stderr
    assert flushed.exit_code == 1
    assert "their writers still run" in flushed.stderr
    assert (listed["writing"], listed["waiting"]) == (True, 1)


def test_nothing_is_thrown_away_without_a_yes(door: Door, spool: Path) -> None:
    journal = left_behind(spool)

    asked = door.run("spool", "discard", journal[:6])
    unknown = door.run("spool", "discard", "zzz", "--yes")
    unclear = door.run("spool", "discard")
    kept = door.json("spool", "list")[0]["waiting"]
    thrown = door.json("spool", "discard", journal[:6], "--yes")

    assert (asked.exit_code, unknown.exit_code, unclear.exit_code) == (2, 2, 2)
    assert "--yes" in asked.stderr
    assert kept == 1
    assert thrown == {"entries": 1}
    assert door.json("spool", "list")[0]["journals"] == []


def test_refused_ones_are_thrown_away_together(door: Door, spool: Path) -> None:
    spool.mkdir()
    Refusals(spool).add(Refusal("j1", NOWHERE, "r1", "", START.decode(), "{}", 3, "no"))

    assert door.json("spool", "discard", "--refused", "--yes") == {"entries": 3}


def test_the_dashboards_address_opens_it(door: Door) -> None:
    door.answers["/v2/health/live"] = {"live": True}

    page, mlflow = door.json("dashboard"), door.json("dashboard", "--mlflow")
    printed = door.run("dashboard", "--no-open")

    assert page["url"].endswith(f"/?token={TOKEN}")
    assert mlflow["url"].endswith(f"/?token={TOKEN}&next=%2Fmlflow%2F")
    assert printed.stdout.strip() == page["url"]


def test_the_browser_is_opened_and_the_token_not_printed(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    door.answers["/v2/health/live"] = {"live": True}

    shown = "\n".join(door.screen(80, "dashboard"))

    assert opened.read_text().endswith(f"/?token={TOKEN}")
    assert "opened http://127.0.0.1" in shown
    assert TOKEN not in shown


TOOL = """#!/bin/sh
echo "$MLOPS_HOME $*" >&2
case "$3" in
  backup) echo '{"ok": true, "runs": 9, "inner": {"files": 2}}';;
  restore) echo "restore failed: the service runs; stop it first" >&2; exit 1;;
  *) echo "import failed: there is no such file; name a database" >&2; exit 2;;
esac
"""


@pytest.fixture
def tool(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """Another program in the place of the tracking service's own tools."""
    script = tmp_path / "python"
    script.write_text(TOOL)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return door


def test_backup_shows_progress_and_the_result(tool: Door) -> None:
    found = tool.run("backup", "copy")
    plain = tool.json("backup", "copy")

    assert f"{tool.home} -m mlops.tracking backup {Path('copy').absolute()} --json" in found.stderr
    assert "inner.files  2" in found.stdout
    assert plain["runs"] == 9


def test_a_tools_failure_keeps_its_fix_and_its_code(tool: Door) -> None:
    restore = tool.run("restore", "copy")
    brought = tool.run("import-mlflow", "sqlite:///x.db", "-p", "rain", "--promote")

    assert (restore.exit_code, brought.exit_code) == (1, 2)
    assert "error: the service runs\nfix:   stop it first" in restore.stderr
    assert "import sqlite:///x.db --project rain --promote --json" in brought.stderr


def test_backup_of_no_installation_is_an_input_error(tmp_path: Path, door: Door) -> None:
    found = Door(tmp_path / "none").run("backup", "copy")

    assert found.exit_code == 2
    assert str(tmp_path / "none") in found.stderr
    assert door.asked == []


@pytest.mark.parametrize("word", ["status", "start", "stop", "setup", "register", "dashboard", "dvc-add",
                                  "dvc-push", "dvc-pull", "deploy", "list-deployments"])  # fmt: skip
def test_the_original_plans_names_are_there(door: Door, word: str) -> None:
    assert door.run(f"mlops:{word}", "--help", app=original).exit_code == 0


def test_the_original_plans_names_do_what_the_words_do(door: Door) -> None:
    said = {"id": "e", "type": "deployment.started", "project": "rain"}
    door.will_answer({**said, "data": {"deployment_id": "d-1", "model": "rain", "version": 2}})
    door.answers["/api/v1/deployments"] = {"deployments": [], "routes": []}
    Path("mlops.toml").write_text('name = "rain"\n')

    deployed = door.run("mlops:deploy", "rain", "2", app=original)
    listed = door.run("mlops:list-deployments", "--json", app=original)
    stopped = Door(door.home / "none").run("mlops:status", app=original)
    unknown = door.run("mlops:register", "snow", app=original)

    assert (deployed.exit_code, listed.exit_code) == (0, 0)
    assert door.bodies("/api/v1/commands")[0]["type"] == "cmd.model.deploy"
    assert (stopped.exit_code, unknown.exit_code) == (3, 2)
    assert "the project of this one is 'rain'" in unknown.stderr
