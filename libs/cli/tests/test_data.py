# SPDX-License-Identifier: Apache-2.0
"""`mlops data` about versions that stand: aliases, tags, removal, and versions named by alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door, Refuse

from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.progress import Progress
from mlops.cli.wishes import watched


def event(type_: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "subject": data.get("name", ""), "data": data}


def held(version: int, **more: Any) -> dict[str, Any]:
    one = {"name": "days", "version": version, "files": 1, "size_bytes": 1, "hash": "h"}
    return {**one, "path": "d.csv", **more}


def sent(door: Door) -> list[tuple[str, dict[str, Any]]]:
    return [(one["type"], one["data"]) for one in door.bodies("/api/v1/commands")]


@pytest.mark.parametrize(
    ("words", "type_", "data"),
    [
        (
            ("alias", "days", "golden", "3"),
            "cmd.data.alias",
            {"name": "days", "alias": "golden", "version": 3},
        ),
        (
            ("alias", "days", "golden", "--remove"),
            "cmd.data.unalias",
            {"name": "days", "alias": "golden"},
        ),
        (
            ("tag", "days", "3", "checked", "--remove", "draft", "--description", "by hand"),
            "cmd.data.tag",
            {
                "name": "days",
                "version": 3,
                "add": ["checked"],
                "remove": ["draft"],
                "description": "by hand",
            },
        ),
        (
            ("remove", "days", "3", "--force"),
            "cmd.data.remove",
            {"name": "days", "version": 3, "force": True},
        ),
        (
            ("restore", "days", "golden"),
            "cmd.data.pull",
            {"name": "days", "alias": "golden"},
        ),
        (("restore", "days", "3"), "cmd.data.restore", {"name": "days", "version": 3}),
        (("pull", "days@golden"), "cmd.data.pull", {"name": "days", "alias": "golden"}),
    ],
)
def test_a_word_becomes_its_command(
    door: Door, words: tuple[str, ...], type_: str, data: dict[str, Any]
) -> None:
    answers = ("aliased", "unaliased", "tagged", "removed", "restored")
    door.will_answer(*(event(f"data.{one}", name="days") for one in answers))

    door.json("data", *words, "-p", "rain")

    assert sent(door) == [(type_, data)]


@pytest.mark.parametrize(
    "words",
    [
        ("alias", "days", "golden"),
        ("alias", "days", "golden", "3", "--remove"),
        ("tag", "days", "3"),
    ],
)
def test_a_word_that_says_nothing_is_refused_before_it_is_sent(
    door: Door, words: tuple[str, ...]
) -> None:
    found = door.run("data", *words, "-p", "rain")

    assert found.exit_code == 2
    assert sent(door) == []


def test_list_shows_aliases_tags_and_what_was_said(door: Door) -> None:
    spoken = held(3, aliases=["latest", "golden"], tags=["checked"], description="by hand")
    door.answer("versioning", "versions", {"versions": [held(2), spoken]})

    shown = door.run("data", "list", "days", "-p", "rain").stdout

    assert "latest, golden" in shown
    assert door.json("data", "list", "days", "-p", "rain")[1]["tags"] == ["checked"]


def test_changes_are_put_aside_at_the_place_of_the_version_that_an_alias_names(
    door: Door, tmp_path: Path
) -> None:
    (tmp_path / "old.csv").write_text("mine")
    door.answers["/api/v1/projects"] = {"projects": [{"project": "rain", "path": str(tmp_path)}]}
    versions = [held(1, aliases=["golden"], path="old.csv"), held(2, aliases=["latest"])]
    door.answer("versioning", "versions", {"versions": versions})
    refused = event("command.refused", reason="'old.csv' has changes that no version holds")
    door.will_answer()
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        [refused] if (tmp_path / "old.csv").exists() else [event("data.restored", name="days")]
    )

    found = door.run("data", "pull", "days@golden", "--force", "-p", "rain")

    assert found.exit_code == 0
    assert (tmp_path / "old.csv.local").read_text() == "mine"


def verified(damaged: int, **more: Any) -> dict[str, Any]:
    found = {"versions": 3, "objects": 9, "size_bytes": 2_000_000, "repaired": 1, "repair": True}
    found |= {"repaired_on_remote": 1, "unread": 2 * (1 - damaged)}
    lost = [{"name": "days", "version": 2}][:damaged]
    return event("data.verified", **found, damaged_versions=damaged, damaged=lost, **more)


@pytest.mark.parametrize(("damaged", "code"), [(0, 0), (1, 1)])
def test_verify_ends_with_one_when_a_version_is_not_whole(
    door: Door, damaged: int, code: int
) -> None:
    door.will_answer(verified(damaged))

    found = door.run("data", "verify", "--repair", "-p", "rain")

    assert found.exit_code == code
    assert "3 versions, 9 objects, 2.0 MB read; 1 repaired" in found.stdout
    assert ("2 objects are on the remote" in found.stdout) != bool(damaged)
    assert ("days version 2" in found.stderr) == bool(damaged)
    assert sent(door) == [("cmd.data.verify", {"name": "", "repair": True, "deep": False})]


@pytest.mark.parametrize(
    "words", [("pull", "days@"), ("pull", "days", "@golden"), ("restore", "days", "")]
)
def test_a_version_that_is_not_named_is_not_the_newest(door: Door, words: tuple[str, ...]) -> None:
    door.will_answer(event("data.restored", name="days"))

    found = door.run("data", *words, "-p", "rain")

    assert found.exit_code == 2
    assert "is not DATASET@VERSION" in found.stderr
    assert sent(door) == []


class Line(Progress):
    """Keeps what a moving line would have shown."""

    def __init__(self) -> None:
        super().__init__("test", quiet=True)
        self.shown: list[str] = []

    def now(self, state: str) -> None:
        self.shown.append(state)


def test_long_work_says_how_far_it_is(door: Door) -> None:
    steps: list[dict[str, Any] | Refuse] = [
        {"step": "waits", "done": 0, "whole": 0, "unit": ""},
        {"step": "read", "done": 500_000_000, "whole": 1_000_000_000, "unit": "bytes"},
        Refuse(503, "versioning is away"),
        {},
        {"step": "push", "done": 3, "whole": 10, "unit": "files"},
    ]
    left = list(steps)
    away = [Refuse(502, "the gateway is started again")]
    door.answers["/api/v1/commands"] = {"id": "c-1"}
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        away.pop() if away else [] if left else [event("data.versioned", name="days")]
    )
    door.answer("versioning", "progress", lambda _: left.pop(0))
    line = Line()

    with Gateway(Home(door.home)) as gateway:
        _, events = watched(gateway, "cmd.data.add", "rain", {}, "data.versioned", line, 5)

    assert [one["type"] for one in events] == ["data.versioned"]
    assert line.shown == ["waits", "read 500.0 MB of 1.0 GB", "push 3 of 10 files"]
    asked = door.queries("/api/v1/query/versioning/progress")
    assert asked == [{"project": "rain", "command": "c-1"}] * 5


def test_one_step_may_take_for_hours_as_long_as_somebody_is_at_it(door: Door) -> None:
    hours = iter(range(1000))
    left = [{"step": "push", "done": 0, "whole": 1, "unit": "files"}] * 5
    door.answers["/api/v1/commands"] = {"id": "c-1"}
    door.answers["/api/v1/commands/c-1/result"] = lambda _: (
        [] if left else [event("data.versioned", name="days")]
    )
    door.answer("versioning", "progress", lambda _: left.pop(0))

    with Gateway(Home(door.home)) as gateway:
        _, events = watched(
            gateway,
            "cmd.data.add",
            "rain",
            {},
            "data.versioned",
            Line(),
            2.5,
            now_s=lambda: float(next(hours)),
        )

    assert [one["type"] for one in events] == ["data.versioned"]


def test_work_that_nobody_is_at_is_not_waited_for(door: Door) -> None:
    hours = iter(range(1000))
    door.answers["/api/v1/commands"] = {"id": "c-1"}
    door.answers["/api/v1/commands/c-1/result"] = []
    door.answer("versioning", "progress", {})

    with (
        Gateway(Home(door.home)) as gateway,
        pytest.raises(CliError, match="nothing has worked on"),
    ):
        watched(
            gateway,
            "cmd.data.add",
            "rain",
            {},
            "data.versioned",
            Line(),
            2.5,
            now_s=lambda: float(next(hours)),
        )


def test_gc_says_what_it_has_freed_or_would(door: Door) -> None:
    freed = {"versions": 2, "objects": 5, "size_bytes": 3_000_000}
    door.will_answer(event("data.collected", **freed, dry_run=True))

    shown = door.run("data", "gc", "--dry-run", "-p", "rain").stdout

    assert "5 objects of 2 removed versions would be deleted, 3.0 MB" in shown
    assert sent(door) == [("cmd.data.collect", {"dry_run": True, "unnamed": False})]
