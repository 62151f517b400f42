# SPDX-License-Identifier: Apache-2.0
"""policy simulate|show|test: what is asked for, what is played, and what is shown."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door, Refuse

from mlops.cli.errors import InputError
from mlops.cli.policy.playing import Asked, played
from mlops.cli.policy.trial import trials_of
from mlops.cli.progress import Progress
from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.monitoring import PerformanceDegraded, PerformanceMeasured, Window
from mlops.contracts.orchestration_bridge import (
    Decision,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowKind,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.settings import ProjectSettings, RetrainSettings, TrainSettings
from mlops.contracts.workspaces import ProjectRegistered

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = ProjectSettings(
    name="rain",
    train=TrainSettings(command="python train.py"),
    retrain=RetrainSettings(cooldown=timedelta(hours=3)),
)
WORK = {"project": "rain", "workflow_key": "rain-1", "kind": WorkflowKind.RETRAIN, "model": "rain"}
RUN = {"dag_id": "rain__train", "dag_run_id": "rain-1"}


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def window(index: int, value: float, hours: float) -> list[Message]:
    """Return what is told of a window; it is degraded below 0.85."""
    about: dict[str, Any] = {
        "project": "rain",
        "model": "rain",
        "version": 1,
        "metric": "accuracy",
        "value": value,
        "expected": 0.9,
        "window": Window(
            index=index, rows=500, labelled=500, first_at=at(hours), last_at=at(hours)
        ),
        "time": at(hours),
    }
    is_bad = value < 0.85
    found: list[Message] = [
        PerformanceMeasured(id=f"w{index}", degraded=is_bad, standard_error=0.01, **about)
    ]
    return (
        [*found, PerformanceDegraded(id=f"d{index}", threshold=0.85, **about)] if is_bad else found
    )


def story() -> list[Message]:
    """Return a day: bad windows at 1 h (retrained) and at 2 h (declined), one at 3 h that misses a tighter limit."""
    took = EnergyUse(joules=7200.0, measured=True)
    why = {"trigger_type": "performance.degraded", "why": "worse"}
    refused = {
        "trigger_type": "performance.degraded",
        "kind": WorkflowKind.RETRAIN,
        "model": "rain",
    }
    return [
        ProjectRegistered(
            project="rain", settings=SETTINGS, path="/projects/rain", revision=1, time=at(0)
        ),
        *window(0, 0.7, 1),
        WorkflowQueued(
            **WORK,
            **why,
            trigger_id="d0",
            place=1,
            decision=Decision(admitted=True, reason=""),
            time=at(1),
        ),
        WorkflowStarted(**WORK, **RUN, waited_s=0.0, time=at(1)),
        WorkflowCompleted(**WORK, **RUN, duration_s=600.0, energy=took, time=at(1.25)),
        *window(1, 0.7, 2),
        WorkflowDeclined(
            project="rain",
            **refused,
            trigger_id="d1",
            reason="cooling down",
            retry_at=at(4.25),
            time=at(2),
        ),
        *window(2, 0.86, 3),
        *window(3, 0.95, 6),
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "history.jsonl"
    found.write_text("".join(json.dumps(one.envelope()) + "\n" for one in story()))
    return found


def simulate(file: Path, *words: str) -> list[str]:
    return ["policy", "simulate", "-p", "rain", "--from", str(file), *words]


def test_a_grid_is_tried_beside_what_happened_and_ranked(door: Door, file: Path) -> None:
    found = door.json(
        *simulate(file, "--set", "retrain.cooldown=30m,3h", "--set", "retrain.max_per_day=1,8")
    )

    shown = [(one["place"], one["name"], one["retrainings"]) for one in found["policies"]]
    assert shown == [
        (1, "retrain.cooldown=30m retrain.max_per_day=8", 2),
        (2, "unchanged", 1),
        (2, "retrain.cooldown=30m retrain.max_per_day=1", 1),
        (2, "retrain.cooldown=3h retrain.max_per_day=1", 1),
        (2, "retrain.cooldown=3h retrain.max_per_day=8", 1),
    ]
    assert found["happened"]["retrainings"] == 1
    assert found["recorded"]["agreed"] == found["recorded"]["decisions"] == 2


def test_other_ranks_put_the_cheapest_first(door: Door, file: Path) -> None:
    found = door.json(*simulate(file, "--set", "retrain.cooldown=30m", "--rank", "energy"))

    assert [one["name"] for one in found["policies"]] == ["unchanged", "retrain.cooldown=30m"]
    assert [one["energy_j"] for one in found["policies"]] == [7200.0, 14400.0]


def test_a_limit_of_monitoring_judges_the_windows_again(door: Door, file: Path) -> None:
    words = ["--set", "monitor.accuracy.drop=0.02", "--set", "retrain.cooldown=1h"]

    found = door.json(*simulate(file, *words))

    tried = next(one for one in found["policies"] if one["settings"])
    asked = [(one["at"][11:16], one["accepted"]) for one in tried["decisions"]]
    assert asked == [("13:00", True), ("14:00", False), ("15:00", True)]
    assert (tried["degraded_windows"], found["happened"]["degraded_windows"]) == (3, 2)


def test_people_see_a_table_a_time_line_and_what_is_assumed(door: Door, file: Path) -> None:
    ended = door.run(*simulate(file, "--set", "retrain.cooldown=30m"))

    assert ended.exit_code == 0, ended.output
    text = ended.stdout
    assert "1 of 2" in text
    assert "1 (cooldown 1)" in text
    assert "Unchanged, the policy makes 2 of 2 recorded decisions again." in text
    assert "taken to last 15 min and to take 2 Wh" in text
    lines = [line for line in text.splitlines() if line.startswith("retrain.cooldown=30m  ")]
    assert "█" in lines[0]
    assert "▒" in lines[0]
    assert "decided otherwise than what happened" in text


def test_settings_that_the_file_does_not_hold_come_from_the_folder(
    door: Door, file: Path, tmp_path: Path
) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    said = 'name = "rain"\n[train]\ncommand = "python train.py"\n[retrain]\ncooldown = "3h"\n'
    (tmp_path / "mlops.toml").write_text(said)

    without = door.run(*simulate(file))
    found = door.json(*simulate(file, "--settings", str(tmp_path)))

    assert without.exit_code == 2
    assert "does not hold the settings" in without.stderr
    assert found["recorded"]["agreed"] == 2


def test_report_picture_and_result_are_written(door: Door, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    ended = door.run(*simulate(file, "--set", "retrain.cooldown=30m,1h", "--out", str(folder)))

    assert ended.exit_code == 0, ended.output
    report = (folder / "report.md").read_text()
    said = f"mlops policy simulate -p rain --from {file} --since all --set retrain.cooldown=30m,1h"
    assert said in report
    assert "![time line](timeline.svg)" in report
    picture = ET.fromstring((folder / "timeline.svg").read_text())  # noqa: S314 - made here
    assert picture.tag.endswith("svg")
    assert json.loads((folder / "results.json").read_text())["project"] == "rain"


@pytest.mark.parametrize(
    ("word", "said", "fix"),
    [
        ("retrain.cooldwn=1h", "the nearest is retrain.cooldown", "can be tried"),
        ("retrain.cooldown=60", "must be a duration", "correct"),
        ("retrain.mode=often", "no such word", "auto, approve"),
        ("retrain.on=drift.found", "no such word", "drift.detected"),
        ("retrain.max_per_day=-1", "greater than or equal to 0", "correct"),
        ("monitor.accuracy.drop=0", "greater than 0", "correct"),
        ("monitor.window=100", "holds windows that were judged and no rows", "retrain.on"),
        ("monitor.window_max_age=2h", "no rows of which others could be made", "retrain.on"),
        ("monitor.drift.persist_windows=3", "not what each window showed that told nothing", "monitor.accuracy.drop"),
        ("serve.model=rain", "nothing in it says what that would have changed", "retrain.on"),
        ("retrain.cooldown", "cannot read --set", "--set retrain.cooldown=1h"),
        ("retrain.cooldown=1h,,2h", "an empty value", "--set"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_tried_is_named_with_the_fix(
    word: str, said: str, fix: str
) -> None:
    with pytest.raises(InputError) as error:
        trials_of([word])

    assert said in error.value.what
    assert fix in error.value.fix


def test_a_grid_that_is_too_large_or_names_a_setting_twice_is_refused() -> None:
    many = ",".join(f"{number}m" for number in range(1, 70))

    with pytest.raises(InputError, match="69 combinations"):
        trials_of([f"retrain.cooldown={many}"])
    with pytest.raises(InputError, match="twice"):
        trials_of(["retrain.cooldown=1h", "retrain.cooldown=2h"])


def test_types_are_joined_and_nothing_is_nothing() -> None:
    both, none = trials_of(["retrain.on=drift.detected+performance.degraded,nothing"])

    assert both.settings == {"retrain.on": ["drift.detected", "performance.degraded"]}
    assert none.settings == {"retrain.on": []}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "snow", "--from", "FILE"], "no message of project 'snow'"),
        (["-p", "rain", "--from", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["-p", "rain", "--from", "FILE", "--since", "yesterday"], "cannot read --since"),
        (["-p", "rain", "--from", "FILE", "--since", "1h", "--until", "2h"], "not before --until"),
        (
            ["-p", "rain", "--from", "FILE", "--since", "2026-03-01"],
            "goes from 2026-01-01T12:00:00",
        ),
        (["-p", "rain", "--from", "FILE", "--lasts", "long"], "--lasts long: must be a duration"),
        (["-p", "rain", "--from", "FILE", "--approval", "3"], "--approval 3: must be a duration"),
        (["-p", "rain", "--from", "FILE", "--until", "bogus"], "cannot read --until 'bogus'"),
        (["-p", "rain", "--from", "BYTES"], "is no text in UTF-8"),
        (
            ["-p", "rain", "--from", "BYTES", "--set", "monitor.accuracy.drop=0.1"],
            "is no text in UTF-8",
        ),
    ],
)
def test_what_cannot_be_replayed_is_an_error_of_input(
    door: Door, file: Path, words: list[str], said: str
) -> None:
    bytes_ = file.with_name("bytes")
    bytes_.write_bytes(b"\xff\xfe\x00")
    named = {"FILE": str(file), "BYTES": str(bytes_)}

    ended = door.run("policy", "simulate", *(named.get(one, one) for one in words))

    assert ended.exit_code == 2, ended.output
    assert said in " ".join(ended.stderr.split())


def test_a_replay_that_complains_at_length_is_heard_to_its_end(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far more than a pipe holds, before the first line of the result.
    loud = "import sys\nsys.stderr.write('it is late; ' * 100_000)\n"
    (tmp_path / "sitecustomize.py").write_text(loud)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = played(Asked("rain", file, ()), tmp_path, Progress("replaying", quiet=True))

    assert found["recorded"]["agreed"] == 2


def test_without_a_platform_and_without_a_file_it_says_that_none_runs(door: Door) -> None:
    ended = door.run("policy", "simulate", "-p", "rain")

    assert ended.exit_code == 3
    assert "no platform runs" in ended.stderr


QUEUE = {
    "project": "rain",
    "archived": False,
    "used_today": 3,
    "workflows": [{"key": "rain-9", "state": "running"}],
    "follow_ups": [{"after": "rain-8", "windows": 1, "of": 2}],
    "declined": [{"at": NOON.isoformat(), "reason": "cooling down"}],
}


def test_the_policy_in_force_is_one_readable_page(door: Door) -> None:
    settings = SETTINGS.model_dump(mode="json")
    door.answer("workspaces", "get", {"project": {"project": "rain", "settings": settings}})
    door.answer("orchestration_bridge", "queue", {"projects": [QUEUE]})

    ended = door.run("policy", "show", "-p", "rain")

    assert ended.exit_code == 0, ended.output
    for part in (
        "performance.degraded: labelled windows below what the version promised",
        "nobody is asked: it starts",
        "3 h from the end of the last one",
        "8 in any 24 hours; 3 are used",
        "0.05 worse than promised",
        "rain-9 (running), the follow-up of rain-8 (1 of 2 windows)",
        "cooling down",
    ):
        assert part in ended.stdout


def test_an_event_is_asked_about_and_not_sent(door: Door) -> None:
    retry = at(1).isoformat()
    verdict = {
        "verdict": "declined",
        "reason": "cooling down",
        "rule": "cooldown",
        "retry_at": retry,
    }
    door.answer("orchestration_bridge", "verdict", verdict)
    window = {"index": 1, "rows": 5, "first_at": retry, "last_at": retry}
    fields = {"model": "rain", "version": 1, "metric": "accuracy", "value": 0.5, "threshold": 0.8}

    ended = door.run(
        "policy",
        "test",
        "performance.degraded",
        json.dumps({**fields, "window": window}),
        "-p",
        "rain",
    )

    assert ended.exit_code == 0, ended.output
    assert "performance.degraded: declined (cooldown)" in ended.stdout
    assert "accepted from" in ended.stdout
    assert [one.method for one in door.asked] == ["GET"]
    assert json.loads(door.asked[0].query["event"])["data"]["model"] == "rain"


def test_an_event_that_asks_for_nothing_is_refused(door: Door) -> None:
    ended = door.run("policy", "test", "project.archived", "-p", "rain")

    assert ended.exit_code == 2
    assert "asks for no workflow" in ended.stderr


def test_a_refusal_of_the_service_is_shown(door: Door) -> None:
    door.answer("orchestration_bridge", "verdict", Refuse(422, "project 'rain' is not registered"))

    ended = door.run("policy", "test", "cmd.workflow.start", "-p", "rain")

    assert ended.exit_code == 2
    assert "not registered" in ended.stderr
