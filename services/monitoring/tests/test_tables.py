# SPDX-License-Identifier: Apache-2.0
"""Tables that people bring: judged as windows are, without a trace; or taken as the reference, with what they show."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.commands import CommandRefused
from mlops.contracts.monitoring import PerformanceDegraded, ReferenceChosen, SetReference
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.model.alarm import Kind
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.tables import (
    Judgement,
    Measures,
    Parts,
    Sample,
    judge_table,
    take_apart,
)

ROWS = 2000


def columns(
    rows: int = ROWS, *, seed: int = 1, shift: float = 0.0, ones: float = 0.5, right: float = 1.0
) -> dict[str, list[Value]]:
    rng = np.random.default_rng(seed)
    answers = [int(one) for one in rng.random(rows) < ones]
    truths = [a if i < right * rows else 1 - a for i, a in enumerate(answers)]
    return {
        "wind": [float(x) + shift for x in rng.normal(size=rows)],
        "heat": [float(x) for x in rng.normal(size=rows)],
        "sky": [str(x) for x in rng.choice(["blue", "grey", "black"], size=rows)],
        "answer": [*answers],
        "truth": [*truths],
    }


def write(folder: Path, name: str, table: dict[str, list[Value]]) -> str:
    lines = [
        ",".join(table),
        *(",".join(map(str, row)) for row in zip(*table.values(), strict=True)),
    ]
    (folder / name).write_text("\n".join(lines))
    return name


def judged(table: dict[str, list[Value]], promise: Promise | None = None) -> Judgement:
    parts = take_apart(table, "answer", "truth" if "truth" in table else None)
    before = columns(seed=2)
    features = {name: before[name] for name in ("wind", "heat", "sky")}
    sample = Sample(features, before["answer"], 500)
    return judge_table(parts, sample, Measures(promise or Promise("accuracy", expected=0.9)))


def without(table: dict[str, list[Value]], *names: str) -> dict[str, list[Value]]:
    return {name: values for name, values in table.items() if name not in names}


def test_rows_like_the_reference_say_nothing() -> None:
    found = judged(columns(right=0.95))

    assert (found.drifted, found.degraded, found.retraining_suggested) == (False, False, False)
    assert found.value is not None
    assert found.value.value == pytest.approx(0.95)
    assert found.reasons == ("accuracy is 0.95, no worse than the 0.85 that is still allowed",)


def test_inputs_that_moved_are_named_and_suggest_nothing_yet() -> None:
    found = judged(columns(shift=0.8, right=0.95))

    assert (found.kinds, found.drifted, found.retraining_suggested) == ((Kind.DATA,), True, False)
    assert "inputs left the reference: wind" in found.reasons


def test_answers_that_are_mostly_wrong_suggest_a_retraining() -> None:
    found = judged(columns(right=0.6))

    assert (found.drifted, found.degraded, found.retraining_suggested) == (False, True, True)
    assert "worse than the 0.85 that is still allowed" in found.reasons[0]


def test_a_few_wrong_answers_more_may_be_chance() -> None:
    found = judged(columns(60, right=0.82))

    assert (found.degraded, found.retraining_suggested) == (False, False)
    assert "no more than chance explains" in found.reasons[0]


def test_other_answers_suggest_a_retraining_only_while_no_truth_defends_them() -> None:
    blind = judged(without(columns(ones=0.8), "truth"))
    defended = judged(columns(ones=0.8, right=0.95))

    assert blind.kinds == defended.kinds == (Kind.PREDICTION,)
    assert (blind.retraining_suggested, defended.retraining_suggested) == (True, False)


def test_columns_that_one_side_lacks_are_named_and_not_judged() -> None:
    table: dict[str, list[Value]] = {
        **without(columns(right=0.95), "heat"),
        "rain": [1.0] * ROWS,
    }

    found = judged(table)

    assert (found.missing, found.unexpected) == (("heat",), ("rain",))
    assert [one.name for one in found.verdict.columns] == ["sky", "wind"]
    assert found.drifted is False
    assert "not in the table, so not compared: heat" in found.reasons


def test_values_that_went_missing_are_drift_of_their_own() -> None:
    table = columns(right=0.95)
    table["wind"] = [None if i % 3 == 0 else value for i, value in enumerate(table["wind"])]

    found = judged(table)

    assert found.kinds == (Kind.MISSING,)
    assert "more values than in the reference are missing: wind" in found.reasons


def test_few_rows_are_measured_but_their_inputs_are_not_judged() -> None:
    found = judged(columns(100, shift=3.0, right=0.95))

    assert (found.drifted, found.degraded) == (None, False)
    assert "the inputs cannot be judged: the window has 100 rows" in found.reasons[1]


def test_without_answers_only_inputs_are_judged() -> None:
    parts = take_apart(without(columns(), "answer"), None, "truth")
    before = columns(seed=2)
    sample = Sample({"wind": before["wind"]}, before["answer"], 500)

    found = judge_table(parts, sample, Measures(Promise("accuracy", expected=0.9)))

    assert (found.drifted, found.value, found.verdict.prediction) == (False, None, None)
    assert "name their column as prediction" in found.reasons[0]


@pytest.mark.parametrize(
    ("prediction", "target", "features", "answers"),
    [
        (None, None, ["a", "b"], [1]),
        ("b", None, ["a", "prediction"], [2]),
        (None, "a", ["b"], [1]),
    ],
)
def test_a_table_is_taken_apart(
    prediction: str | None, target: str | None, features: list[str], answers: Sequence[Value]
) -> None:
    table: dict[str, list[Value]] = {"a": [0], "b": [2], "prediction": [1]}

    parts = take_apart(table, prediction, target)

    assert (sorted(parts.features), parts.predictions) == (features, answers)


def test_rows_whose_truth_is_not_known_are_not_measured() -> None:
    parts = Parts(3, {}, [1, 0, 1], [1, None, 0])

    assert parts.pairs == [(1, 1), (1, 0)]


def test_a_column_that_is_named_must_be_there() -> None:
    with pytest.raises(KeyError, match="truth"):
        take_apart({"a": [1]}, None, "truth")


@pytest.fixture
async def known(world: Any, tmp_path: Path) -> Any:
    """Return a world that has registered and deployed, and has the reference `before.csv`."""
    await world.register(tmp_path)
    await world.deploy(accuracy=0.9)
    await world.tell(
        SetReference(
            project="rainfall",
            model="rain",
            uri=write(tmp_path, "before.csv", columns(seed=2)),
            prediction="answer",
            target="truth",
        )
    )
    return world


async def ask(world: Any, **question: str) -> dict[str, Any]:
    asked = {"project": "rainfall", "model": "rain", **question}
    patience = timedelta(seconds=30)
    found: dict[str, Any] = await world.bus.ask("monitoring", "judge", asked, patience)
    return found


async def test_a_reference_before_the_first_request_takes_what_is_no_answer_and_no_truth(
    known: Any,
) -> None:
    (told,) = known.heard(ReferenceChosen)

    answer = await known.bus.ask("monitoring", "models", {})
    assert (told.rows, told.metric, told.value) == (ROWS, "accuracy", 1.0)
    assert answer["models"][0]["reference"]["rows"] == ROWS
    assert answer["models"][0]["expected"] == 0.9


async def test_a_table_is_judged_without_a_trace(known: Any, tmp_path: Path) -> None:
    uri = write(tmp_path, "now.csv", columns(shift=0.8, right=0.6))
    before = await known.bus.ask("monitoring", "models", {})
    said = len(known.bus.published)

    found = await ask(known, uri=uri, prediction="answer", target="truth")

    assert (found["rows"], found["rows_in_table"], found["version"]) == (ROWS, ROWS, 1)
    assert found["reference"] == {"origin": "before.csv", "rows": ROWS}
    assert found["drift"]["drifted"] is True
    assert found["drift"]["columns"][0]["name"] == "prediction"
    assert found["drift"]["columns"][1] | {"score": 0} == {
        "name": "wind",
        "kind": "data",
        "test": "w1",
        "score": 0,
        "threshold": 0.08,
        "drifted": True,
    }
    assert found["drift"]["share_drifted_ratio"] == pytest.approx(1 / 3)
    assert found["performance"] == {
        "metric": "accuracy",
        "value": 0.6,
        "expected": 0.9,
        "threshold": pytest.approx(0.85),
        "degraded": True,
        "rows": ROWS,
    }
    assert found["retraining_suggested"] is True
    assert "retrain" in found["suggestion"]
    assert len(known.bus.published) == said
    assert await known.bus.ask("monitoring", "models", {}) == before


async def test_of_a_long_table_the_newest_rows_are_judged_and_that_is_said(
    known: Any, tmp_path: Path
) -> None:
    long = columns(21_000)
    long["wind"][:1000] = [50.0] * 1000

    found = await ask(known, uri=write(tmp_path, "now.csv", long), prediction="answer")

    assert (found["rows"], found["rows_in_table"]) == (20_000, 21_000)
    assert found["drift"]["drifted"] is False
    assert "of 21000 rows the newest 20000 were looked at" in found["reasons"]


async def test_what_a_version_shows_on_its_reference_is_expected_when_nothing_was_promised(
    world: Any, tmp_path: Path
) -> None:
    await world.register(tmp_path)
    await world.deploy(accuracy=None)
    uri = write(tmp_path, "before.csv", columns(right=0.9))
    command = {"project": "rainfall", "model": "rain", "uri": uri, "prediction": "answer"}
    await world.tell(SetReference.model_validate({**command, "target": "truth"}))

    await world.window(right=0.6)

    (told,) = world.heard(PerformanceDegraded)
    assert (told.expected, told.value) == (0.9, 0.6)

    await world.deploy(accuracy=None)
    again = await world.bus.ask("monitoring", "models", {})
    await world.tell(SetReference.model_validate(command))
    without_truth = await world.bus.ask("monitoring", "models", {})

    assert again["models"][0]["expected"] == 0.9
    assert without_truth["models"][0]["expected"] is None


async def test_later_requests_decide_which_columns_are_inputs(world: Any, tmp_path: Path) -> None:
    await world.register(tmp_path)
    await world.deploy()
    await world.predict(10)
    table: dict[str, list[Value]] = {**columns(), "day": [f"d{i % 7}" for i in range(ROWS)]}
    uri = write(tmp_path, "before.csv", table)

    await world.tell(SetReference(project="rainfall", model="rain", uri=uri, target="truth"))

    found = await ask(world, uri=uri)
    assert sorted(one["name"] for one in found["drift"]["columns"]) == ["heat", "sky", "wind"]
    assert found["drift"]["unexpected_columns"] == ["answer", "day", "truth"]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ({"uri": ""}, "needs 'uri'"),
        ({"uri": "absent.csv"}, "there is no file"),
        ({"uri": "../x.csv"}, "is outside the project's folder"),
        ({"uri": "a.txt"}, "neither .csv nor .parquet"),
        ({"uri": "odd.csv"}, "has no column of the reference"),
        ({"uri": "empty.csv"}, "has no rows"),
        ({"uri": "before.csv", "target": "y"}, "has no column 'y'"),
        ({"uri": "before.csv", "model": "snow"}, "has no model 'snow'"),
        ({"uri": "before.csv", "project": "other"}, "register it"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_the_reason(
    known: Any, tmp_path: Path, question: dict[str, str], word: str
) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("wind,heat\n")

    with pytest.raises(RejectedError, match=word):
        await ask(known, **question)


async def test_without_a_reference_the_way_to_one_is_told(world: Any, tmp_path: Path) -> None:
    await world.register(tmp_path)
    await world.deploy()

    with pytest.raises(RejectedError, match="no reference yet; set one with set_reference_data"):
        await ask(world, uri=write(tmp_path, "now.csv", columns()))


async def test_a_reference_with_a_column_that_is_not_there_is_refused(
    world: Any, tmp_path: Path
) -> None:
    await world.register(tmp_path)
    await world.deploy()
    uri = write(tmp_path, "before.csv", columns())

    await world.tell(SetReference(project="rainfall", model="rain", uri=uri, target="y"))
    await world.tell(SetReference(project="rainfall", model="rain", uri=uri))

    first, second = (refused.reason for refused in world.heard(CommandRefused))
    assert "has no column 'y'" in first
    assert "name the columns of target and prediction" in second


async def test_files_that_callers_brought_are_read_and_no_others(tmp_path: Path) -> None:
    brought, elsewhere = tmp_path / "files", tmp_path / "elsewhere"
    brought.mkdir()
    elsewhere.mkdir()
    for folder in (brought, elsewhere):
        (folder / "a.csv").write_text("a\n1\n")
    (brought / "link.csv").symlink_to(elsewhere / "a.csv")
    tables = FileTables(Sidecar("mlops.absent"), brought)

    found = await tables.read((brought / "a.csv").as_uri(), None)

    assert (found.columns, found.rows) == ({"a": [1.0]}, 1)
    for name in ((elsewhere / "a.csv").as_uri(), (brought / "link.csv").as_uri(), "a.csv"):
        with pytest.raises(RejectedError, match="cannot be read"):
            await tables.read(name, None)


async def test_of_a_wide_table_as_many_rows_are_held_as_memory_allows(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(2000))
    row = ",".join(["1"] * 2000)
    (tmp_path / "wide.csv").write_text("\n".join([names, *[row] * 4000]))
    tables = FileTables(Sidecar("mlops.absent"))

    tracemalloc.start()
    found = await tables.read("wide.csv", str(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.rows == 4000
    assert 1000 < len(found.columns["c0"]) < 2500
    assert peak < 400 * 1024 * 1024


async def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")

    with pytest.raises(RejectedError, match="names columns twice: a"):
        await FileTables(Sidecar("mlops.absent")).read("a.csv", str(tmp_path))


async def test_an_answer_about_long_names_stays_small(known: Any, tmp_path: Path) -> None:
    long = [f"{i}{'x' * 50_000}" for i in range(30)]
    table: dict[str, list[Value]] = {**columns(), **{name: [1] * ROWS for name in long}}
    write(tmp_path, "long.csv", table)
    write(tmp_path, "odd.csv", {name: [1] for name in long})

    found = await ask(known, uri="long.csv", prediction="answer", target="truth")
    with pytest.raises(RejectedError) as refused:
        await ask(known, uri="odd.csv")

    assert len(json.dumps(found)) < 20_000
    assert len(found["drift"]["unexpected_columns"]) == 30
    assert len(str(refused.value)) < 3000
