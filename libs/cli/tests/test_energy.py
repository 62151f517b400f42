# SPDX-License-Identifier: Apache-2.0
"""`mlops energy`: bars for people, the whole answer for programs."""

from __future__ import annotations

from typing import Any

import pytest
from libs.cli.tests.conftest import Door

from mlops.cli.amounts import amount

FIGURES = {"joules": 7200.0, "wh": 2.0, "measured_j": 3600.0}
ROWS: dict[str, list[dict[str, Any]]] = {
    "day": [
        {"project": "rain", "day": "2026-01-01", **FIGURES, "serving_j": 900.0, "predictions": 40},
        {"project": "rain", "day": "2026-01-02", "joules": 1800.0, "wh": 0.5, "measured_j": 1800.0, "serving_j": 0, "predictions": 0},
    ],
    "workflow": [
        {"project": "rain", "workflow": "rain-1", "title": "train", "state": "failed", "model": "", **FIGURES, "how": "", "ended_at": "2026-01-01T12:00:00Z"},
    ],
    "run": [
        {"project": "rain", "run": "ab", "title": "base", "state": "completed", "workflow": None, "joules": None, "wh": None, "measured_j": None, "how": "", "ended_at": ""},
    ],
    "version": [
        {"project": "rain", "model": "m", "version": 2, "run": "ab", **FIGURES, "training_j": 7000.0, "serving_j": 200.0, "predictions": 4000, "joules_per_1000": 50.0},
    ],
}  # fmt: skip


@pytest.fixture
def metered(door: Door) -> Door:
    def answer(asked: Any) -> dict[str, Any]:
        by = asked.query["by"]
        return {"by": by, "project": None, "since": "2026-01-01", **FIGURES, "rows": ROWS[by]}

    door.answers["/api/v1/energy"] = answer
    return door


def test_days_are_bars_with_what_was_measured_first(metered: Door) -> None:
    shown = metered.run("energy").stdout.splitlines()

    assert shown[1].split()[:2] == ["2026-01-01", "rain"]
    assert "2 Wh" in shown[1]
    assert shown[1].count("█") == 24
    assert shown[2].count("█") == 6
    assert shown[-1].startswith("2 Wh since 2026-01-01, 50% measured █, the rest estimated █")


def test_a_machine_that_cannot_tell_is_not_one_that_took_nothing(door: Door) -> None:
    row = {
        "project": "rain",
        "day": "2026-01-01",
        "joules": None,
        "serving_j": None,
        "predictions": 40,
    }
    door.answers["/api/v1/energy"] = {"by": "day", "since": None, "joules": None, "rows": [row]}

    shown = door.run("energy").stdout

    assert shown.count("not known") == 2
    assert "0 J" not in shown
    assert "no machine here tells what it draws" in shown


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("workflow", ["rain-1", "train", "failed", "2 Wh"]),
        ("run", ["ab", "base", "completed", "not known"]),
        ("version", ["m:2", "1.94 Wh", "200 J", "4000", "50 J", "2 Wh"]),
    ],
)
def test_each_view_has_its_columns(metered: Door, by: str, words: list[str]) -> None:
    line = metered.run("energy", "--by", by).stdout.splitlines()[1]

    assert all(word in line for word in words), line


def test_programs_get_the_whole_answer_of_one_project(metered: Door) -> None:
    found = metered.json("energy", "-p", "rain", "-n", "5")

    assert found["rows"] == ROWS["day"]
    assert metered.queries("/api/v1/energy") == [{"project": "rain", "by": "day", "limit": "5"}]


def test_without_energy_it_says_when_there_will_be_some(door: Door) -> None:
    door.answers["/api/v1/energy"] = {"rows": [], "joules": 0, "measured_j": 0, "since": None}

    assert "it is told when a run or a workflow ends" in door.run("energy").stdout


@pytest.mark.parametrize(
    ("joules", "told"),
    [
        (None, "not known"),
        (0.0, "0 J"),
        (450.0, "450 J"),
        (1080.0, "0.3 Wh"),
        (9000.0, "2.5 Wh"),
        (7.2e6, "2 kWh"),
    ],
)
def test_amounts_come_in_the_unit_that_suits_them(joules: float | None, told: str) -> None:
    assert amount(joules) == told


def test_why_tells_what_the_hardware_did_and_what_to_change(door: Door) -> None:
    told = {
        "state": "failed",
        "reason": "it is failed: step 'train' failed",
        "waits": False,
        "workflow": {},
        "hardware": ["memory was short: critical for 10 s of 20 s"],
        "suggestion": "raise [train].resources.memory_gb",
        "energy": {"joules": 9000.0, "measured": True, "how": "package counter"},
    }
    door.answer("orchestration_bridge", "why", told)

    shown = door.run("workflow", "why", "rain-1").stdout

    assert "took 2.5 Wh, measured: package counter" in shown
    assert "hardware memory was short: critical for 10 s of 20 s" in shown
    assert "try      raise [train].resources.memory_gb" in shown
