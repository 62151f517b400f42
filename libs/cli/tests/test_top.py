# SPDX-License-Identifier: Apache-2.0
"""top and telemetry record: what people see of nodes, and a recording of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from libs.cli.tests.conftest import Refuse
from typer.testing import CliRunner

from mlops.cli import output
from mlops.cli.main import app
from mlops.cli.nodes import COLUMNS, fitting, row_of

AIR: dict[str, Any] = {
    "node": "ada-air",
    "level": 2,
    "reason": "throttled: Heavy",
    "age_s": 4.2,
    "episode_id": "ada-air-1234",
    "forecast": {"cool_s": 47.0},
    "sample": {
        "source": "real",
        "window_s": 10.0,
        "chip": {"name": "Apple M4"},
        "thermal": {"level": 2, "cpu_temp_c": 91.0, "derived_throttle": True},
        "power": {"cpu_w": 3.0, "gpu_w": 9.5, "package_w": None, "system_w": None},
        "cpu_busy_ratio": 0.42,
        "gpus": [{"id": "gpu0", "busy_ratio": 0.97, "temp_c": 88.0}],
        "memory": {"total_bytes": 16 * 2**30, "available_bytes": 4 * 2**30, "pressure": "warn"},
        "fans": [{"name": "left", "rpm": 2300.0}, {"name": "right", "rpm": 2500.0}],
    },
}
SILENT: dict[str, Any] = {"node": "old", "level": None, "age_s": 400.0, "sample": None}


def cells(node: dict[str, Any]) -> dict[str, str]:
    return {name: str(cell or "-") for name, cell in zip(COLUMNS, row_of(node), strict=True)}


def test_a_hot_node_is_told_in_words() -> None:
    assert cells(AIR) == {
        "node": "ada-air",
        "chip": "Apple M4",
        "heat": "2 throttled *",
        "cpu": "42 %",
        "gpu": "97 %",
        "power": "12.5 W",
        "temp": "91 °C",
        "memory": "12.0/16 GiB warn",
        "fans": "2500 rpm",
        "age": "4 s",
        "episode": "ada-air-1234",
        "forecast": "cool in 47 s",
    }


def test_what_a_node_cannot_tell_is_a_dash_and_silence_is_said() -> None:
    told = cells(SILENT)

    assert told["heat"] == "unknown"
    assert told["age"] == "400 s silent"
    assert {told[name] for name in ("cpu", "gpu", "power", "temp", "memory", "fans")} == {"-"}


def test_a_simulated_machine_says_so() -> None:
    node = {**AIR, "sample": {**AIR["sample"], "source": "simulated"}}

    assert cells(node)["chip"] == "Apple M4 (simulated)"


def test_half_an_answer_is_no_crash() -> None:
    odd = {
        "node": "x",
        "level": "hot",
        "age_s": "soon",
        "sample": {"gpus": [None, 3], "fans": {"a": 1}, "power": []},
    }

    assert cells(odd)["heat"] == "unknown"


def test_top_once_shows_every_node(door: Any) -> None:
    door.answers["/api/v1/nodes"] = {"nodes": [AIR, SILENT]}

    shown = door.run("top", "--once")

    assert shown.exit_code == 0, shown.output
    assert "ada-air" in shown.stdout
    assert "2 throttled *" in shown.stdout
    assert "400 s silent" in shown.stdout


def test_top_as_json_is_what_the_gateway_says(door: Any) -> None:
    door.answers["/api/v1/nodes"] = {"nodes": [AIR]}

    assert json.loads(door.run("top", "--once", "--json").stdout)["nodes"][0]["node"] == "ada-air"


def test_top_without_nodes_says_what_to_look_at(door: Any) -> None:
    door.answers["/api/v1/nodes"] = {"nodes": []}

    assert "whether the telemetry agent runs" in door.run("top", "--once").stdout


def test_top_without_a_platform_is_code_three(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["--home", str(tmp_path), "top", "--once"])

    assert shown.exit_code == 3
    assert "mlops up" in shown.output


def test_top_is_live_in_a_terminal_until_the_gateway_lets_nobody_in(door: Any) -> None:
    asked: list[int] = []

    def nodes(_: Any) -> Any:
        asked.append(1)
        told = {"nodes": [{**AIR, "age_s": 10.0 + len(asked)}]}
        return told if len(asked) < 3 else Refuse(403, "the token was taken back")

    door.answers["/api/v1/nodes"] = nodes

    shown = "\n".join(door.screen(160, "top", "--every", "0.5"))

    assert "ada-air" in shown
    assert "11 s" in shown
    assert "12 s" in shown
    assert "the token was taken back" in shown


def test_a_gateway_that_is_away_for_a_moment_leaves_the_figures_and_says_so(door: Any) -> None:
    answers = [{"nodes": [AIR]}, Refuse(502, "starting again"), Refuse(403, "over")]
    door.answers["/api/v1/nodes"] = lambda _: answers.pop(0)

    shown = "\n".join(door.screen(160, "top", "--every", "0.5"))

    assert "starting again; these figures are" in shown


def test_a_narrow_terminal_loses_what_matters_least() -> None:
    rows = [[output.cell_of(cell) for cell in row_of(AIR)]]

    assert [COLUMNS[at] for at in fitting(rows, 300)] == list(COLUMNS)
    assert [COLUMNS[at] for at in fitting(rows, 70)] == [
        "node",
        "heat",
        "cpu",
        "gpu",
        "power",
        "memory",
        "age",
    ]


def test_a_recording_of_this_machine_says_what_each_probe_gave(tmp_path: Path) -> None:
    file = tmp_path / "here.jsonl"
    command = [
        sys.executable,
        "-m",
        "mlops.cli",
        "telemetry",
        "record",
        "--seconds",
        "2",
        "--out",
        str(file),
        "--json",
    ]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)

    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["bytes"] == file.stat().st_size > 0
    assert told["lines"]["host"] >= 2
    assert "memory.total_bytes" in told["fields"]["host"]
    assert all(
        {"t_mono", "probe", "kind"} <= set(json.loads(line))
        for line in file.read_text().splitlines()
    )


def test_a_recording_suggests_what_its_owner_may_do_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "here.jsonl"
    command = [
        sys.executable,
        "-m",
        "mlops.cli",
        "telemetry",
        "record",
        "--seconds",
        "1",
        "--out",
        str(file),
    ]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)

    assert "600 s  keep its GPU busy" in ended.stdout
    assert "TELEMETRY_AGENT_REPLAY=" in ended.stdout
    assert "readings" in ended.stderr


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "here.jsonl"
    file.write_text("mine")

    ended = CliRunner().invoke(app, ["telemetry", "record", "--out", str(file)])

    assert ended.exit_code == 2
    assert file.read_text() == "mine"
