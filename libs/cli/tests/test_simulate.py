# SPDX-License-Identifier: Apache-2.0
"""simulate: what is printed and written of a simulation, and that differences are called what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.cli.simulation import figures, words
from mlops.cli.simulation.found import Found, Interval, found_of

LOADS = (0.3, 0.9)


def row(name: str, load: float, key: str, mean: float) -> dict[str, Any]:
    return {
        "scheduler": name,
        "load": load,
        "figure": key,
        "mean": mean,
        "low": mean * 0.9,
        "high": mean * 1.1,
    }


def less(other: str, load: float, key: str, mean: float) -> dict[str, Any]:
    where = {"from": other, "load": load, "figure": key}
    return {**where, "mean": mean, "low": mean - 0.1, "high": mean + 0.1, "relative": True}


def result() -> dict[str, Any]:
    """Return a result in which ours is better at the low load, worse at the high one."""
    keys = words.FIGURES
    return {
        "study": {
            "loads": list(LOADS),
            "seeds": 30,
            "fleet": "mixed",
            "jobs": "heavy-tailed",
            "schedulers": ["ours", "coolest"],
        },
        "figures": [{"key": key, "title": key.replace("_", " "), "unit": "s"} for key in keys],
        "means": [
            row(name, load, key, 100.0)
            for name in ("ours", "coolest")
            for load in LOADS
            for key in keys
        ],
        "differences": [
            less("coolest", load, key, mean)
            for load, mean in ((0.3, -0.2), (0.9, 0.3))
            for key in keys
        ],
    }


@pytest.fixture
def found() -> Found:
    return found_of(result())


def test_a_report_says_as_plainly_where_it_does_not_help(found: Found) -> None:
    report = words.report(found, "mlops simulate thermal", ["a.png"])

    assert "shorter at load 0.3 (-20 %); **longer** at load 0.9 (+30 %)" in report
    assert "![a](a.png)" in report
    assert "| coolest | **-20 % [-30, -10]** | **+30 % [+20, +40]** |" in report
    assert "| ours | 100 [90, 110] | 100 [90, 110] |" in report


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (Interval(-0.05, -0.2, 0.1), "-5 % [-20, +10]"),
        (Interval(-0.15, -0.2, -0.1), "**-15 % [-20, -10]**"),
        (Interval(2.5, 1.0, 4.0, relative=False), "**+2.5 [+1, +4]**"),
        (Interval(0.0, 0.0, 0.0), "+0 % [+0, +0]"),
    ],
)
def test_only_a_certain_difference_is_bold(one: Interval, text: str) -> None:
    assert words.difference(one) == text


def test_figures_are_drawn(found: Found, tmp_path: Path) -> None:
    names = figures.draw(tmp_path, found)

    assert names == [figures.OVER_LOAD, figures.AGAINST]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_without_ours_nothing_is_compared(tmp_path: Path) -> None:
    alone = result()
    alone["study"]["schedulers"] = ["coolest"]
    alone["differences"] = []
    found = found_of(alone)

    assert figures.draw(tmp_path, found) == [figures.OVER_LOAD]
    assert "Differences" not in words.report(found, "", [])


SMALL = ["simulate", "thermal", "--seeds", "1", "--loads", "0.1", "--fleet", "fans"]
SMALL += ["--policy", "ours,cooldown", "--workers", "1"]


def test_the_command_runs_the_simulation_and_writes_a_report(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    ended = CliRunner().invoke(app, [*SMALL, "--out", str(folder)])

    assert ended.exit_code == 0, ended.output
    assert "ours against cooldown, mean completion" in ended.stdout
    assert "2 of 2 runs" in ended.stderr
    written = {path.name for path in folder.iterdir()}
    assert written == {"report.md", "results.json", figures.OVER_LOAD, figures.AGAINST}
    report = (folder / "report.md").read_text()
    assert "mlops simulate thermal --seeds 1 --loads 0.1 --fleet fans" in report
    assert len(json.loads((folder / "results.json").read_text())["runs"]) == 2


def test_the_command_prints_json_for_programs() -> None:
    ended = CliRunner().invoke(app, [*SMALL, "--json"])

    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["study"]["fleet"] == "fans"


@pytest.mark.parametrize(
    ("words_", "said"),
    [
        (("--policy", "magic"), "no policy 'magic'; there are ours"),
        (("--loads", "many"), "invalid"),
        (("--fleet", "cray"), "invalid choice: 'cray'"),
    ],
)
def test_what_is_wrong_is_an_error_of_input(words_: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(app, ["simulate", "thermal", *words_])

    assert ended.exit_code == 2
    assert said in ended.stderr
