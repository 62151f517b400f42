# SPDX-License-Identifier: Apache-2.0
"""The state file survives its supervisor; a damaged one is nothing, not an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlops.cli.home import Home
from mlops.cli.supervisor import processes, state
from mlops.cli.supervisor.state import Status, Told

TOLD = Told(
    pid=7,
    created=100.5,
    phase="running",
    started=101.0,
    components=(
        Status("nats", state=state.READY, pid=8, created=102.0, address="nats://127.0.0.1:4222"),
        Status("gateway", state=state.BACKOFF, failures=2, error="ended with code 1", fix="look"),
    ),
    past=((5, 90.0), (8, 102.0)),
    first=processes.first(),
)


def test_what_was_told_is_read_back(tmp_path: Path) -> None:
    state.write(Home(tmp_path), TOLD)

    assert state.read(Home(tmp_path)) == TOLD


def test_every_process_ever_started_is_remembered(tmp_path: Path) -> None:
    state.write(Home(tmp_path), TOLD)

    assert state.read(Home(tmp_path)).roots == {5: 90.0, 8: 102.0}


def test_pids_say_nothing_after_another_start_of_the_machine(tmp_path: Path) -> None:
    state.write(Home(tmp_path), replace(TOLD, first=TOLD.first - 3600))

    assert state.read(Home(tmp_path)).roots == {}


def test_what_has_ended_is_forgotten_and_the_rest_still_told(tmp_path: Path) -> None:
    state.write(Home(tmp_path), TOLD)

    state.forget(Home(tmp_path))

    after = state.read(Home(tmp_path))
    assert after.roots == {}
    assert after.phase == "running"
    assert [one.error for one in after.components] == ["", "ended with code 1"]


def test_where_nothing_was_told_nothing_is_written(tmp_path: Path) -> None:
    state.forget(Home(tmp_path))

    assert not Home(tmp_path).state.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"components": [{"nonsense": 1}]}', '{"past": 3}']
)
def test_a_damaged_file_tells_nothing(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.state.write_text(content)

    assert state.read(home) == Told()


def test_a_file_of_a_newer_release_is_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.write_text('{"pid": 3, "components": [{"name": "nats", "unheard_of": true}]}')

    assert state.read(home).components == (Status("nats"),)
