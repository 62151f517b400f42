# SPDX-License-Identifier: Apache-2.0
"""A project names a file: each version that is deployed for the first time has its rows as reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.contracts.monitoring import DriftDetected, ReferenceChosen, SetReference
from mlops.monitoring.model.windows import ModelKey

NAMED = {"file": "held_out.csv", "prediction": "answer", "target": "truth"}


def held_out(folder: Path, rows: int = 1000, shift: float = 0.0, name: str = "held_out.csv") -> str:
    rng = np.random.default_rng(1)
    lines = [
        f"{rng.normal() + shift},{rng.normal()},{rng.choice(['blue', 'grey', 'black'])},"
        f"{rng.choice(['rain', 'dry'])},{rng.choice(['rain', 'dry'])}"
        for _ in range(rows)
    ]
    (folder / name).write_text("\n".join(["wind,heat,sky,answer,truth", *lines]) + "\n")
    return name


def origins(world: Any) -> list[tuple[int, str, int | None]]:
    return [(one.version, one.origin, one.rows) for one in world.heard(ReferenceChosen)]


async def reference(world: Any) -> dict[str, Any]:
    (model,) = (await world.bus.ask("monitoring", "models", {}))["models"]
    found: dict[str, Any] = model["reference"]
    return found


async def test_the_first_window_of_a_version_is_judged_already(world: Any, tmp_path: Path) -> None:
    held_out(tmp_path, shift=0.8)
    await world.register(tmp_path, reference=NAMED)
    await world.deploy()
    await world.window()
    await world.window()

    assert origins(world) == [(1, "held_out.csv", 1000)]
    (told,) = [one for one in world.heard(DriftDetected) if one.kind == "data"]
    assert [column.name for column in told.columns if column.drifted] == ["wind"]


async def test_each_new_version_takes_the_file_as_it_is_then(world: Any, tmp_path: Path) -> None:
    held_out(tmp_path)
    await world.register(tmp_path, reference=NAMED)
    await world.deploy(1)
    held_out(tmp_path, rows=700)
    await world.deploy(2)

    assert origins(world) == [(1, "held_out.csv", 1000), (2, "held_out.csv", 700)]


async def test_a_version_that_answers_again_keeps_its_own(world: Any, tmp_path: Path) -> None:
    held_out(tmp_path)
    await world.register(tmp_path, reference=NAMED)
    await world.deploy(1)
    await world.tell(
        SetReference(
            project="rainfall",
            model="rain",
            uri=held_out(tmp_path, 800, name="better.csv"),
            target="truth",
            prediction="answer",
        )
    )
    await world.deploy(2)
    await world.deploy(1)

    assert (await reference(world))["origin"] == "better.csv"


async def test_a_version_with_other_columns_is_compared_in_its_own(
    world: Any, tmp_path: Path
) -> None:
    held_out(tmp_path)
    await world.register(tmp_path, reference=NAMED)
    await world.deploy(1)
    await world.window()
    text = (tmp_path / "held_out.csv").read_text()
    (tmp_path / "held_out.csv").write_text(text.replace("wind,heat", "gusts,heat", 1))
    await world.deploy(2)

    baseline = world.ledger.page.baselines.get(ModelKey("rainfall", "rain"), 2)
    assert baseline.features.keys() == {"gusts", "heat", "sky"}


async def test_a_file_that_cannot_be_read_for_now_leaves_the_version_watched(
    world: Any, tmp_path: Path
) -> None:
    (tmp_path / "held_out.parquet").write_bytes(b"PAR1")
    await world.register(tmp_path, reference={**NAMED, "file": "held_out.parquet"})
    await world.deploy()

    (chosen,) = world.heard(ReferenceChosen)
    assert chosen.problem
    assert chosen.rows is None
    assert world.ledger.page.models.get(ModelKey("rainfall", "rain")).version == 1
    assert world.bus.dead == []


@pytest.mark.parametrize(
    ("rows", "named", "problem"),
    [
        (None, NAMED, "there is no file"),
        (100, NAMED, "has 100 rows; a reference needs 500"),
        (1000, {**NAMED, "target": "label"}, "has no column 'label'"),
        (1000, {"file": "held_out.csv"}, "name the columns of target and prediction"),
    ],
)
async def test_where_it_cannot_be_used_the_reason_is_told_and_the_first_requests_become_it(
    world: Any, tmp_path: Path, rows: int | None, named: dict[str, str], problem: str
) -> None:
    if rows is not None:
        held_out(tmp_path, rows)
    await world.register(tmp_path, reference=named)
    await world.deploy()
    for _ in range(5):
        await world.window()

    (chosen,) = world.heard(ReferenceChosen)
    assert problem in chosen.problem
    assert (chosen.origin, chosen.rows) == ("the next 4 windows of 250 rows", None)
    assert (await reference(world))["origin"] == "windows 0 to 3"
