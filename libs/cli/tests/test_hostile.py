# SPDX-License-Identifier: Apache-2.0
"""What strangers wrote (names, tags, reasons) and what is broken: shown harmlessly, refused clearly, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import TOKEN, Door, Refuse
from libs.cli.tests.test_runs import FIRST, SECOND, row, run
from libs.cli.tests.test_words import completed

from mlops.cli.completion import offerable
from mlops.cli.output import as_json, harmless

TITLE = "\x1b]0;owned\x07"
CLEAR = "\x1b[2J\x1b[31m"
HOSTILE = f"{TITLE}{CLEAR}[red]a[/] b\x9b1m\u202e\r"


def command(door: Door, *words: str) -> list[str]:
    return [sys.executable, "-m", "mlops.cli", "--home", str(door.home), *words]


def strange(text: str) -> list[str]:
    return [one for one in text if (one < " " and one not in "\n\t") or "\x7f" <= one < "\xa0"]


def test_only_what_can_be_seen_is_left_of_a_text() -> None:
    assert harmless(HOSTILE) == "[red]a[/] b1m"
    assert harmless("\x1b[1mfat\x1b[0m\n\ttext 日本 é") == "fat\n\ttext 日本 é"
    assert harmless("half \ud800 a pair") == "half \ufffd a pair"
    assert harmless("an end\x1b") == "an end"


def test_names_and_reasons_command_no_terminal(door: Door) -> None:
    whole = run(FIRST, HOSTILE, tags={HOSTILE: HOSTILE}, params={"[/]": HOSTILE}, models=[])
    door.answer("tracking", "run", {"run": whole})
    door.answer("tracking", "runs", {"runs": [whole, run(SECOND, "half \ud800")]})
    door.answer("tracking", "models", Refuse(404, HOSTILE, HOSTILE))

    listed, shown = door.run("run", "list"), door.run("run", "show", FIRST)
    refused = door.run("model", "list")

    for found in (listed, shown, refused):
        assert strange(found.output) == []
        assert "[red]a[/] b" in found.output
    assert (listed.exit_code, shown.exit_code, refused.exit_code) == (0, 0, 2)


def test_runs_with_markup_in_their_names_are_compared(door: Door) -> None:
    runs = [run(FIRST, "[/red]"), run(SECOND, "[bold]b")]
    found = {"rows": [row("[/x]", "metric", [1.0, 2.0], best=0)], "runs": runs}
    door.answer("tracking", "compare", found)

    shown = door.run("run", "compare", FIRST, SECOND)

    assert shown.exit_code == 0, shown.output
    assert shown.stdout.split()[:2] == ["[/red]", "[bold]b"]


def test_a_folder_with_markup_in_its_name_is_told_as_it_is(door: Door, tmp_path: Path) -> None:
    (tmp_path / "[red]").mkdir()

    assert "[red]" in door.run("spool", "list", "--folder", "[red]").stdout


@pytest.mark.parametrize("width", [72, 80, 100])
def test_wide_letters_fit_the_terminal_too(door: Door, width: int) -> None:
    door.answer("tracking", "runs", {"runs": [run(FIRST, "日本語の走行記録" * 2)]})

    shown = door.screen(width, "run", "list")

    assert len(shown) == 2
    assert "日本語の走行記録日本語の走行記録" in shown[1]


def test_json_is_json_whatever_was_said(door: Door) -> None:
    door.answer("tracking", "runs", {"runs": [run(FIRST, HOSTILE, metrics={"loss": float("nan")})]})

    printed = door.run("run", "list", "--json").stdout

    assert json.loads(printed, parse_constant=pytest.fail)[0]["metrics"] == {"loss": None}
    assert strange(printed) == []
    assert as_json({"a": [float("inf"), 1], "b": (Path("x"),)}) == '{"a": [null, 1], "b": ["x"]}'


@pytest.mark.parametrize("words", [["run", "list"], ["run", "list", "--json"]])
def test_a_reader_that_has_seen_enough_is_no_failure(door: Door, words: list[str]) -> None:
    door.answer("tracking", "runs", {"runs": [run(FIRST, "first")] * 50})
    ours, theirs = os.pipe()
    os.close(ours)

    with os.fdopen(theirs, "wb") as closed:
        found = subprocess.run(
            command(door, *words), stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (found.returncode, found.stderr) == (0, "")


def test_a_terminal_of_few_letters_shows_what_it_can(door: Door) -> None:
    door.answer("tracking", "runs", {"runs": [run(FIRST, "日本")]})
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}

    found = subprocess.run(
        command(door, "run", "list"), env=environment, capture_output=True, check=False
    )

    assert (found.returncode, found.stderr) == (0, b"")
    assert b"first" not in found.stdout


@pytest.mark.parametrize(
    "name",
    ["$(touch x)", r"\$(touch x)", "`x`", "a'b", 'a"b', "a\nb", "a\x1b[2J", "a;b", "-rf", ""],
)
def test_names_that_a_shell_could_obey_are_not_offered(door: Door, name: str) -> None:
    door.answer("tracking", "runs", {"runs": [{"run_id": name, "name": "x"}]})

    assert list(offerable([(name, name)])) == []
    assert completed(door, "mlops run show ") == []


def test_notes_beside_names_are_words_only() -> None:
    ((name, note),) = offerable([("a1", 'the \\$(touch x) "one"\n`y` is\x1b[2J fine, é')])

    assert name == "a1"
    assert note == "the touch x one y is fine, é"


def test_an_answer_of_another_form_offers_nothing(door: Door) -> None:
    door.answers["/api/v1/projects"] = {"projects": [None]}

    assert completed(door, "mlops run list -p ") == []


def test_a_token_that_cannot_be_sent_is_named_but_not_shown(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TOKEN", "geheim\u00e9\nzwei")

    found = door.run("run", "list")

    assert found.exit_code == 2
    assert "MLOPS_TOKEN" in found.stderr
    assert "geheim" not in found.output


def test_a_token_may_end_with_its_file(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.answer("tracking", "runs", {"runs": []})
    monkeypatch.setenv("MLOPS_TOKEN", f"{TOKEN}\r\n")

    assert door.run("run", "list").exit_code == 0


def test_an_address_without_its_scheme_is_an_input_error(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_GATEWAY_URL", "example.org:8000")
    monkeypatch.setenv("MLOPS_TOKEN", TOKEN)

    found = door.run("run", "list")

    assert found.exit_code == 2
    assert "http://" in found.stderr


def test_a_workflow_is_asked_for_by_its_name_only(door: Door) -> None:
    door.answers["/api/v1/projects"] = {"project": "rain"}

    found = door.run("workflow", "cancel", "../projects?x=1")

    assert found.exit_code == 2
    assert [one.path for one in door.asked] == ["/api/v1/workflows/../projects?x=1"]
    assert door.bodies("/api/v1/commands") == []


def test_files_that_are_no_text_are_input_errors(door: Door) -> None:
    Path("events.json").write_bytes(b'{"type": "\xff\xfe"}')

    found = door.run("events", "publish", "events.json", "-p", "rain")

    assert found.exit_code == 2
    assert "events.json" in found.stderr


def test_what_was_sent_before_a_refusal_is_told(door: Door) -> None:
    wish = {"type": "cmd.workflow.start", "project": "rain", "data": {"why": "x"}}
    Path("wishes.json").write_text("\n".join(json.dumps(wish) for _ in range(3)))
    sent = count()
    door.answers["/api/v1/commands"] = lambda asked: (
        {"id": asked.json["id"]} if next(sent) == 0 else Refuse(422, "the second is one too many")
    )

    found = door.run("events", "publish", "wishes.json", "--json")

    first = door.bodies("/api/v1/commands")[0]
    assert found.exit_code == 2
    assert json.loads(found.stdout) == [{"id": first["id"]}]
    assert "1 of 3" in found.stderr


@pytest.mark.parametrize("since", ["99999999d", "1e400s"])
def test_a_time_before_all_time_is_an_input_error(door: Door, since: str) -> None:
    found = door.run("events", "tail", "--since", since)

    assert found.exit_code == 2
    assert "--since" in found.stderr


@pytest.mark.parametrize("project", [">", "a b", "*.*"])
def test_a_project_that_is_none_is_an_input_error_of_tail(door: Door, project: str) -> None:
    found = door.run("events", "tail", "-p", project, "--no-follow")

    assert found.exit_code == 2
    assert "project" in found.stderr


@pytest.mark.usefixtures("door")
def test_a_home_that_is_a_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = subprocess.run(
        [sys.executable, "-m", "mlops.cli", "up", "--home", "file", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.stderr


def test_options_that_a_group_would_not_hear_are_refused(door: Door) -> None:
    found = door.run("monitor", "-p", "snow", "judge", "table.csv")

    assert found.exit_code == 2
    assert "after" in found.stderr
    assert door.asked == []


def versions(*names: str, older: int = 0) -> dict[str, Any]:
    held = {"version": 1, "files": 1, "size_bytes": 1, "hash": "h"}
    return {
        "versions": [{**held, "name": one, "path": f"{one}.csv"} for one in names],
        "older": older,
    }


def test_datasets_whose_versions_are_too_old_for_the_answer_are_pushed_too(door: Door) -> None:
    Path("mlops.toml").write_text('name = "rain"\n[data.datasets]\nold = "old.csv"\n')
    door.answer("versioning", "versions", versions("new", older=7))
    door.will_answer({"id": "e", "type": "data.pushed", "project": "rain", "data": {"name": "x"}})

    door.json("data", "push")

    assert [one["data"]["name"] for one in door.bodies("/api/v1/commands")] == ["new", "old"]
    assert door.queries("/api/v1/query/versioning/versions") == [
        {"project": "rain", "limit": "200"}
    ]


def test_a_list_that_is_not_whole_says_so(door: Door) -> None:
    door.answer("versioning", "versions", versions("new", older=7))

    assert "7 older" in door.run("data", "list", "-p", "rain").stdout


REFUSED = {
    "id": "e", "type": "command.refused", "project": "rain",
    "data": {"reason": "'days.csv' has changes that no version holds"},
}  # fmt: skip


def test_what_was_put_aside_is_put_back_when_the_version_does_not_come(door: Door) -> None:
    Path("days.csv").write_text("mine")
    Path("days.csv.local").symlink_to("nowhere")
    folder = str(Path.cwd())
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": folder}]}
    door.answer("versioning", "versions", versions("days"))
    ids = count()
    door.answers["/api/v1/commands"] = lambda _: {"id": f"c-{next(ids)}"}
    door.answers["/api/v1/commands/c-0/result"] = [REFUSED]
    away = {**REFUSED, "data": {"reason": "the remote is away"}}
    door.answers["/api/v1/commands/c-1/result"] = [away]

    found = door.run("data", "pull", "days", "-p", "rain", "--force", "--json")

    assert found.exit_code == 2
    assert Path("days.csv").read_text() == "mine"
    assert Path("days.csv.local").is_symlink()


def test_what_was_put_aside_stays_there_while_the_version_may_still_come(door: Door) -> None:
    Path("days.csv").write_text("mine")
    folder = str(Path.cwd())
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": folder}]}
    door.answer("versioning", "versions", versions("days"))
    answers = [{"id": "c-0"}, Refuse(500, "stored, and nobody knows")]
    door.answers["/api/v1/commands"] = lambda _: answers.pop(0)
    door.answers["/api/v1/commands/c-0/result"] = [REFUSED]

    found = door.run("data", "pull", "days", "-p", "rain", "--force")

    assert found.exit_code == 1
    assert "days.csv.local" in found.stderr
    assert not Path("days.csv").exists()
    assert Path("days.csv.local").read_text() == "mine"


def test_programs_are_told_where_it_was_put(door: Door) -> None:
    Path("days.csv").write_text("mine")
    Path("days.csv.local").symlink_to("nowhere")
    folder = Path.cwd()
    restored = {**REFUSED, "type": "data.restored", "data": {"name": "days", "version": 1}}
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": str(folder)}]}
    door.answer("versioning", "versions", versions("days"))
    door.will_answer()
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        [REFUSED] if Path("days.csv").exists() else [restored]
    )

    (found,) = door.json("data", "restore", "days", "1", "-p", "rain", "--force")

    assert found["put_aside"] == str(folder / "days.csv.local1")
    assert Path(found["put_aside"]).read_text() == "mine"
    assert Path("days.csv.local").is_symlink()


def test_a_folder_is_put_aside_whole(door: Door) -> None:
    Path("days").mkdir()
    Path("days/a.csv").write_text("mine")
    Path("days.local").mkdir()
    folder = Path.cwd()
    restored = {**REFUSED, "type": "data.restored", "data": {"name": "days", "version": 1}}
    found = versions("days")
    found["versions"][0]["path"] = "days"
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": str(folder)}]}
    door.answer("versioning", "versions", found)
    door.will_answer()
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        [REFUSED] if Path("days").exists() else [restored]
    )

    (told,) = door.json("data", "pull", "days", "-p", "rain", "--force")

    assert told["put_aside"] == str(folder / "days.local1")
    assert Path("days.local1/a.csv").read_text() == "mine"
    assert list(Path("days.local").iterdir()) == []


def test_who_is_not_let_in_does_not_wait(door: Door) -> None:
    (door.home / "credentials.json").write_text('{"gateway_token": "wrong"}')

    found = door.run("run", "tail", FIRST)

    assert found.exit_code == 1
    assert "the token is wrong" in found.stderr
    assert len(door.asked) == 1


def test_a_validation_is_shown_even_when_the_gateway_answers_nonsense(door: Door) -> None:
    Path("mlops.toml").write_text('name = "rain"\n')
    door.answers["/v2/health/live"] = Refuse(502, "a proxy is in the way")

    found = door.run("validate", "--json")

    assert found.exit_code == 1
    assert json.loads(found.stdout)[-1] == {
        "check": "platform", "outcome": "failed", "found": "a proxy is in the way", "fix": "",
    }  # fmt: skip


@pytest.mark.parametrize("words", [["retry", "zzz"], ["list", "--folder", "nowhere"]])
def test_a_spool_that_is_not_there_is_an_input_error(door: Door, words: list[str]) -> None:
    assert door.run("spool", *words).exit_code == 2
