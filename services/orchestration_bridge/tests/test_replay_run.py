# SPDX-License-Identifier: Apache-2.0
"""A whole replay: what it counts, what it assumes, and what it says of a history that has gaps."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from services.orchestration_bridge.tests.recorded_stories import NOON, Story

from mlops.contracts.settings import Consent, ProjectSettings, RetrainSettings, TrainSettings
from mlops.orchestration_bridge.replay.reading import HistoryError
from mlops.orchestration_bridge.replay.run import Question, Tried, played

HOUR = timedelta(hours=1)
JOULES = (1000.0, 2000.0, 6000.0)


async def a_day(cooldown: timedelta = 4 * HOUR) -> Story:
    """Return twelve hours with a bad window each hour; a retraining takes five minutes, and some joules."""
    story = Story(RetrainSettings(cooldown=cooldown, max_per_day=20))
    await story.registered()
    for _ in range(12):
        await story.measured(bad=True)
        await story.passes(60)
    completed = [event for event in story.history if event["type"] == "workflow.completed"]
    for event, joules in zip(completed, cycle(JOULES), strict=False):
        event["data"]["energy"] = {"joules": joules, "measured": True}
    return story


def asked(story: Story, folder: Path, *tried: dict[str, object], **more: Any) -> dict[str, Any]:
    policies = [Tried(json.dumps(one), one) for one in tried]
    since, until = more.pop("since", None), more.pop("until", story.now)
    return played(Question("rain", story.written(folder), since, until, policies, **more))


async def test_unchanged_it_makes_every_recorded_decision_again(tmp_path: Path) -> None:
    found = asked(await a_day(), tmp_path)

    assert found["recorded"]["decisions"] == found["recorded"]["agreed"] == 12
    assert found["recorded"]["differences"] == []


async def test_figures_stand_beside_what_happened(tmp_path: Path) -> None:
    story = await a_day()

    found = asked(story, tmp_path, {"retrain.cooldown": "1h"}, {"retrain.max_per_day": 1})

    figures = [
        (one["retrainings"], one["declined"], one["unanswered_windows"], one["energy_j"])
        for one in (found["happened"], *found["policies"])
    ]
    # In reality at 0, 5 and 10 h. With one hour of cooldown at 0, 2, 4, 6, 8 and 10 h: four of them never were.
    assert figures == [
        (3, 9, 9, 9000.0),
        (3, 9, 9, 9000.0),
        (6, 6, 6, 1000.0 + 4 * 2000.0 + 6000.0),
        (1, 11, 11, 1000.0),
    ]


async def test_work_that_never_was_has_the_spread_of_what_was(tmp_path: Path) -> None:
    found = asked(await a_day(), tmp_path, {"retrain.cooldown": "0s"})

    tried = found["policies"][1]
    assert (tried["retrainings"], tried["assumed"]) == (12, 9)
    assert tried["energy_j"] == sum(JOULES) + 9 * 2000.0
    assert tried["energy_j_low"] == sum(JOULES) + 9 * 1500.0
    assert tried["energy_j_high"] == sum(JOULES) + 9 * 4000.0
    assert tried["ran_s"] == 12 * 300.0


async def test_only_the_period_counts(tmp_path: Path) -> None:
    story = await a_day()

    found = asked(story, tmp_path, since=NOON + 6 * HOUR - timedelta(minutes=1))

    assert found["recorded"]["decisions"] == 6
    assert found["happened"]["degraded_windows"] == 6


async def test_what_came_after_the_period_does_not_count(tmp_path: Path) -> None:
    story = await a_day()

    until = NOON + 6 * HOUR - timedelta(minutes=1)
    found = asked(story, tmp_path, {"retrain.cooldown": "1h"}, until=until)

    told = found["recorded"]
    assert (told["decisions"], told["agreed"], told["differences"]) == (6, 6, [])
    figures = [
        (one["retrainings"], one["declined"], one["unanswered_windows"], one["energy_j"])
        for one in (found["happened"], *found["policies"])
    ]
    assert figures == [(2, 4, 4, 3000.0), (2, 4, 4, 3000.0), (3, 3, 3, 5000.0)]
    assert len(found["happened"]["workflows"]) == 2


async def test_only_trainings_say_what_a_retraining_takes(tmp_path: Path) -> None:
    story = await a_day()
    first = story.of("workflow.completed")[0]
    first["data"].update(duration_s=5.0, energy={"joules": 1.0, "measured": True})
    for event in story.history:
        if event["data"].get("workflow_key") == first["data"]["workflow_key"]:
            event["data"]["kind"] = "evaluate"

    usual = asked(story, tmp_path)["usual"]

    assert (usual["energy_j"]["median"], usual["energy_j"]["count"]) == (4000.0, 2)
    assert (usual["ran_s"]["median"], usual["queue_to_end_s"]["count"]) == (300.0, 2)


async def test_a_retraining_whose_energy_is_not_recorded_took_the_usual(tmp_path: Path) -> None:
    story = await a_day()
    for event in story.of("workflow.completed")[1:]:
        event["data"]["energy"] = None

    found = asked(story, tmp_path, {"retrain.cooldown": "1h"})

    energy = [one["energy_j"] for one in (found["happened"], *found["policies"])]
    assert energy == [3000.0, 3000.0, 6000.0]
    assert (
        "the energy of 2 of 3 retrainings is not recorded: the usual one is taken" in found["notes"]
    )


async def test_settings_that_are_older_than_the_history_must_be_given(tmp_path: Path) -> None:
    story = await a_day()
    story.history = story.history[2:]

    with pytest.raises(HistoryError, match="does not hold the settings of project 'rain'"):
        asked(story, tmp_path)

    retrain = RetrainSettings(cooldown=4 * HOUR, max_per_day=20)
    train = TrainSettings(command="python train.py")
    given = ProjectSettings(name="rain", train=train, retrain=retrain)
    found = asked(story, tmp_path, settings=given)
    assert found["recorded"]["agreed"] == 12
    assert any("those of today are taken" in note for note in found["notes"])


async def test_without_a_recorded_retraining_the_assumption_is_said(tmp_path: Path) -> None:
    story = Story(RetrainSettings(max_per_day=0))
    await story.registered()
    await story.measured(bad=True)

    found = asked(story, tmp_path, {"retrain.max_per_day": 5})

    assert found["policies"][1]["energy_j"] is None
    assert found["usual"]["lasts_s"] == 600.0
    assert any("no retraining of this project has completed" in one for one in found["notes"])


async def test_what_a_person_started_stays_what_a_person_started(tmp_path: Path) -> None:
    story = Story(RetrainSettings(max_per_day=0))
    await story.registered()
    await story.started_by_hand()

    found = asked(story, tmp_path, {"retrain.max_per_day": 5})

    counts = [(one["retrainings"], one["by_person"]) for one in found["policies"]]
    assert counts == [(0, 1), (0, 1)]
    assert found["recorded"]["agreed"] == 1


async def test_an_archived_project_says_so(tmp_path: Path) -> None:
    story = await a_day()
    await story.archived()

    found = asked(story, tmp_path)

    assert any("archived at" in note for note in found["notes"])


async def test_a_decision_is_made_when_the_service_made_it(tmp_path: Path) -> None:
    story = Story(RetrainSettings(cooldown=10 * HOUR))
    await story.registered()
    await story.measured(bad=True)
    await story.passes(30)
    await story.measured(bad=True)
    # The service was away for a night: it declined the second alarm only hours later.
    last = story.history[-1]
    assert last["type"] == "workflow.declined"
    last["time"] = (NOON + 10 * HOUR).isoformat()

    found = asked(story, tmp_path, {"retrain.cooldown": "9h"}, until=NOON + 11 * HOUR)

    assert [one["retrainings"] for one in found["policies"]] == [1, 2]
    at = datetime.fromisoformat(found["policies"][1]["decisions"][1]["at"])
    assert at == NOON + 10 * HOUR


async def test_messages_of_a_newer_version_are_counted_and_left_out(tmp_path: Path) -> None:
    story = await a_day()
    story.history.append({**story.history[-1], "type": "workflow.queued_v2"})

    found = asked(story, tmp_path)

    assert "1 of workflow.queued_v2 not understood" in found["notes"]


async def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    story = await a_day()
    file = story.written(tmp_path)
    file.write_text(file.read_text() + '{"type": "workflow.qu')

    found = played(Question("rain", file, None, None, []))

    assert "1 of a last line that was cut off not understood" in found["notes"]


async def test_decisions_whose_trigger_is_missing_are_replayed_and_told(tmp_path: Path) -> None:
    story = await a_day()
    lost = next(one for one in story.history if one["type"] == "performance.degraded")
    story.history.remove(lost)

    found = asked(story, tmp_path)

    assert found["recorded"]["agreed"] == 12
    assert "the triggers of 1 recorded decisions are not in the history" in found["notes"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no message of project 'rain'"),
        (b"nonsense\n{}\n", "line 1 is not JSON"),
        (b"[1]\n", "line 1 is no message"),
        (b"\xff\xfe{}\n", r"x\.jsonl is no text in UTF-8; give what"),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)

    with pytest.raises(HistoryError, match=said):
        played(Question("rain", file, None, None, []))


async def test_the_same_history_gives_the_same_result(tmp_path: Path) -> None:
    story = await a_day()
    tried: dict[str, object] = {"retrain.cooldown": "1h"}

    assert asked(story, tmp_path, tried) == asked(story, tmp_path, tried)


async def test_the_program_prints_steps_and_a_result(tmp_path: Path) -> None:
    story = await a_day()
    policies = [{"name": "short", "settings": {"retrain.cooldown": "30m"}}]
    words = [str(story.written(tmp_path)), "--project", "rain", "--policies", json.dumps(policies)]

    ended = ran(words)

    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[0] == {"step": "2 policies replayed"}
    assert lines[-1]["result"]["policies"][1]["retrainings"] == 12


async def test_the_program_refuses_a_value_that_does_not_fit(tmp_path: Path) -> None:
    story = await a_day()
    policies = [{"name": "x", "settings": {"retrain.cooldown": "soon"}}]
    words = [str(story.written(tmp_path)), "--project", "rain", "--policies", json.dumps(policies)]

    ended = ran(words)

    assert ended.returncode == 2
    assert "retrain.cooldown: Value error, must be a duration" in ended.stderr


def ran(words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlops.orchestration_bridge.replay", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_person_who_would_have_been_asked_approves_when_it_is_said(tmp_path: Path) -> None:
    story = await a_day(cooldown=timedelta(0))

    late = timedelta(minutes=90)
    found = asked(story, tmp_path, {"retrain.mode": "approve"}, approval=late)

    # Queued at 0 h, approved at 1:30, over at 1:35: the alarm of 1 h meets one that is under way.
    first, second, third = found["policies"][1]["decisions"][:3]
    assert [one["accepted"] for one in (first, second, third)] == [True, False, True]
    assert second["rule"] == "under_way"


async def test_what_waited_for_a_person_for_ever_starts_by_itself_where_nobody_is_asked(
    tmp_path: Path,
) -> None:
    story = Story(RetrainSettings(mode=Consent.APPROVE, cooldown=timedelta(0)))
    await story.registered()
    for _ in range(3):
        await story.measured(bad=True)
        await story.passes(60)

    found = asked(story, tmp_path, {"retrain.mode": "auto"})

    assert [one["retrainings"] for one in found["policies"]] == [1, 3]
