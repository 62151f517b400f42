# SPDX-License-Identifier: Apache-2.0
"""What people ask for: another reference, a look at the open window; and the reports that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.commands import CommandRefused
from mlops.contracts.monitoring import (
    DriftCleared,
    DriftDetected,
    EvaluateWindow,
    PerformanceDegraded,
    PerformanceMeasured,
    ReferenceChosen,
    ReportPublished,
    SetReference,
)
from mlops.monitoring import sources
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.model.windows import ModelKey

WINDOW = 250
REFERENCE = 4


async def written(world: Any) -> None:
    """Let the report writer work until it would pause, and publish what it says."""

    class Idle(Exception):  # noqa: N818 - no error: the end of the work
        pass

    async def pause() -> None:
        raise Idle

    try:
        async for message in sources.reports(world.ledger, world.reports, pause):
            await world.tell(message)
    except Idle:
        return


def csv(folder: Path, rows: int, shift: float) -> Path:
    rng = np.random.default_rng(1)
    lines = [
        f"{rng.normal() + shift},{rng.normal()},{rng.choice(['blue', 'grey', 'black'])},2020"
        for _ in range(rows)
    ]
    path = folder / "reference.csv"
    path.write_text("\n".join(["wind,heat,sky,year", *lines]) + "\n")
    return path


def refusals(world: Any) -> list[str]:
    return [told.reason for told in world.heard(CommandRefused)]


async def test_the_next_windows_become_the_reference(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.window(shift=0.8)

    await world.tell(SetReference(project="rainfall", model="rain"))
    for _ in range(REFERENCE + 1):
        await world.window(shift=0.8)

    answer = await world.bus.ask("monitoring", "models", {})
    assert answer["models"][0]["reference"]["origin"] == "windows 5 to 8"
    assert len(world.heard(DriftDetected)) == len(world.heard(DriftCleared)) == 1


async def test_a_file_becomes_the_reference(world: Any, tmp_path: Path) -> None:
    await world.register(tmp_path)
    await world.deploy()
    await world.window()
    csv(tmp_path, 1000, shift=0.8)

    await world.tell(SetReference(project="rainfall", model="rain", uri="reference.csv"))
    await world.window()

    (told,) = world.heard(DriftDetected)
    assert [column.name for column in told.columns if column.drifted] == ["wind"]
    assert "year" not in [column.name for column in told.columns]


async def test_a_chosen_reference_is_answered_also_when_nothing_had_drifted(
    world: Any, tmp_path: Path
) -> None:
    await world.register(tmp_path)
    await world.deploy()
    await world.window()
    csv(tmp_path, 1000, shift=0.0)
    coming = SetReference(project="rainfall", model="rain")
    file = SetReference(project="rainfall", model="rain", uri="reference.csv")

    await world.tell(coming)
    await world.tell(file)

    first, second = world.heard(ReferenceChosen)
    assert (first.causation_id, first.version, first.rows) == (coming.id, 1, None)
    assert first.origin == "the next 4 windows of 250 rows"
    assert (second.causation_id, second.origin, second.rows) == (file.id, "reference.csv", 1000)


async def test_a_file_outside_the_project_is_refused(world: Any, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    await world.register(tmp_path / "project")
    await world.window()
    csv(tmp_path, 1000, shift=0.0)

    await world.tell(SetReference(project="rainfall", model="rain", uri="../reference.csv"))

    assert "outside the project's folder" in refusals(world)[0]


async def test_bad_references_are_refused_with_the_fix(world: Any, tmp_path: Path) -> None:
    await world.register(tmp_path)
    await world.window()
    csv(tmp_path, 100, shift=0.0)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1\n")

    for uri in (
        "reference.csv",
        "other.csv",
        "ragged.csv",
        "absent.csv",
        "notes.txt",
        "s3://b/x.csv",
    ):
        (tmp_path / "notes.txt").write_text("")
        await world.tell(SetReference(project="rainfall", model="rain", uri=uri))

    found = refusals(world)
    assert "has 100 rows; a reference needs 500" in found[0]
    assert "has no column that model 'rain' gets" in found[1]
    assert "line 2 has 1 fields, the header has 2" in found[2]
    assert "there is no file" in found[3]
    assert "neither .csv nor .parquet" in found[4]
    assert "not a local file" in found[5]


@pytest.mark.parametrize("uri", ["http://[", "a\0b.csv", "a" * 1000 + ".csv", "//[/x.csv"])
async def test_a_uri_that_is_none_is_refused_at_once(world: Any, tmp_path: Path, uri: str) -> None:
    await world.register(tmp_path)
    await world.window()

    await world.tell(SetReference(project="rainfall", model="rain", uri=uri))

    (letter,) = world.bus.dead
    assert letter.deliveries == 1
    assert "is no file's name" in refusals(world)[0] or "not a local" in refusals(world)[0]


async def test_a_spreadsheets_csv_with_any_name_is_read(world: Any, tmp_path: Path) -> None:
    await world.register(tmp_path)
    await world.deploy()
    await world.window()
    text = csv(tmp_path, 1000, shift=0.0).read_text()
    (tmp_path / "50 % #2.csv").write_text(f"\ufeff{text}\n\n", encoding="utf-8")

    await world.tell(SetReference(project="rainfall", model="rain", uri="50 % #2.csv"))

    baseline = world.ledger.page.baselines.get(ModelKey("rainfall", "rain"), 1)
    assert baseline.features.keys() == {"wind", "heat", "sky"}
    assert len(baseline.predictions) == 1000


async def test_the_place_of_a_broken_row_is_that_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 30_000 + "\n\n1\n")

    with pytest.raises(RejectedError, match=r"line 30004 has 1 fields, the header has 2"):
        await FileTables(Sidecar("mlops.absent")).read("a.csv", str(tmp_path))


async def test_of_a_long_file_the_newest_rows_are_read(tmp_path: Path) -> None:
    lines = "\n".join(str(i) for i in range(30_000))
    (tmp_path / "a.csv").write_text(f"a\n{lines}\n")

    table = await FileTables(Sidecar("mlops.absent")).read("a.csv", str(tmp_path))

    found = table.columns
    assert table.rows == 30_000
    assert (found["a"][0], found["a"][-1], len(found["a"])) == (10_000, 29_999, 20_000)


async def test_a_reference_for_an_unknown_model_is_refused(world: Any) -> None:
    await world.tell(SetReference(project="rainfall", model="rain"))
    await world.tell(SetReference(project="rainfall", model="rain", uri="a.csv"))

    assert "has no model 'rain'" in refusals(world)[0]
    assert "the project has no folder" in refusals(world)[1]


async def test_the_open_window_is_judged_on_demand(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    for _ in range(REFERENCE):
        await world.window()
    ids = await world.predict(200)
    await world.label(ids, right=0.5)

    command = EvaluateWindow(project="rainfall", model="rain")
    await world.tell(command)
    await written(world)

    told = world.heard(PerformanceMeasured)[-1]
    (report,) = world.heard(ReportPublished)
    assert (told.value, told.degraded, told.window.index, told.window.rows) == (0.5, True, 4, 200)
    assert told.partial
    assert (report.kind, report.causation_id) == ("evaluation", command.id)
    assert world.heard(PerformanceDegraded) == []
    answer = await world.bus.ask("monitoring", "models", {})
    assert answer["models"][0]["open_window"]["rows"] == 200


async def test_nothing_to_evaluate_is_refused(world: Any) -> None:
    await world.register()
    await world.tell(EvaluateWindow(project="rainfall", model="rain"))
    await world.deploy()
    await world.tell(EvaluateWindow(project="rainfall", model="rain"))
    await world.predict(10)
    await world.tell(EvaluateWindow(project="rainfall", model="rain"))

    found = refusals(world)
    assert "has no model 'rain'" in found[0]
    assert "no predictions in its open window" in found[1]
    assert "still being collected and no label is known" in found[2]


async def test_an_alarm_names_its_report_and_the_report_follows(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.window(shift=0.8)
    (drift,) = world.heard(DriftDetected)
    before = list(world.heard(ReportPublished))

    await written(world)
    await written(world)

    (report,) = world.heard(ReportPublished)
    current, reference = world.reports.written[report.uri]
    of_window, *_, verdict = world.reports.remarks[report.uri]
    assert before == []
    assert of_window == "Window 4, 250 rows; the reference: windows 0 to 3, 1000 rows."
    assert verdict == "Drift (data) in 33% of the columns: wind."
    assert (report.uri, report.kind, report.model) == (drift.report_uri, "drift", "rain")
    assert (report.causation_id, report.correlation_id) == (drift.id, drift.correlation_id)
    assert len(current["wind"]) == WINDOW
    assert len(reference["prediction"]) == 1000


async def test_a_report_that_fails_is_tried_again_and_then_given_up(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.window(shift=0.8)

    world.reports.failures = 2
    await written(world)

    assert len(world.heard(ReportPublished)) == 1

    await world.window(shift=-0.8)
    await world.deploy(2)
    for _ in range(REFERENCE):
        await world.window(version=2)
    await world.window(version=2, shift=0.8)
    world.reports.failures = 3
    await written(world)

    assert len(world.heard(ReportPublished)) == 1
    assert world.reports.failures == 0


async def test_only_the_first_degraded_window_gets_a_report(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    for _ in range(REFERENCE):
        await world.window()

    await world.window(right=0.5)
    await world.window(right=0.5)

    assert [told.report_uri for told in world.heard(PerformanceDegraded)] == [
        "memory:///rainfall/rain/v1-w00004-performance.html",
        None,
    ]


async def test_a_report_that_was_asked_for_and_is_given_up_is_refused(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.predict(10)
    command = EvaluateWindow(project="rainfall", model="rain")
    await world.tell(command)
    world.reports.failures = 3

    await written(world)
    await written(world)

    (refused,) = world.heard(CommandRefused)
    assert (refused.command_id, refused.causation_id) == (command.id, command.id)
    assert refused.command_type == "cmd.monitor.evaluate"
    assert "the shelf fails on purpose" in refused.reason
    assert world.heard(ReportPublished) == []


async def test_a_report_whose_rows_are_gone_is_refused(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    await world.predict(10)
    await world.tell(EvaluateWindow(project="rainfall", model="rain"))
    await world.deploy(2)

    await written(world)

    (refused,) = world.heard(CommandRefused)
    assert "no longer kept" in refused.reason
