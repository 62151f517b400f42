# SPDX-License-Identifier: Apache-2.0
"""Reports by the real Evidently in its real child process; the fake shelf keeps the same promises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # it has no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no types
import pytest

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports
from mlops.monitoring.adapters.memory import MemoryReports
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.windows import ModelKey
from mlops.monitoring.ports import ReportJob, Reports, Table

pytestmark = pytest.mark.timeout(240)

KEY = ModelKey("rainfall", "rain/fall")


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    child = Sidecar(WORKER, env={"DO_NOT_TRACK": "1"})
    yield child
    await child.close()


def real(folder: Path, sidecar: Sidecar) -> EvidentlyReports:
    return EvidentlyReports(
        folder / "reports", folder / "evidently", sidecar, timeout=timedelta(seconds=200), keep=2
    )


@pytest.fixture(params=["memory", "evidently"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, sidecar: Sidecar) -> Reports:
    return MemoryReports() if request.param == "memory" else real(tmp_path, sidecar)


def job(number: int) -> ReportJob:
    return ReportJob(str(number), "s", KEY, 1, number, "drift", f"v1-w{number:05d}-drift")


def columns(rows: int, shift: float) -> dict[str, Sequence[Value]]:
    rng = np.random.default_rng(rows)
    numbers: list[Value] = (rng.normal(size=rows) + shift).tolist()
    return {
        "wind": [None if i % 9 == 0 else value for i, value in enumerate(numbers)],
        "sky": [str(value) for value in rng.choice(["blue", "grey"], rows)],
        "calm": [bool(value) for value in rng.integers(0, 2, rows)],
        "constant": [1.0] * rows,
        "gone": [None] * rows if shift else [0.5] * rows,
        "prediction": [int(value) for value in rng.integers(0, 2, rows)],
    }


async def test_a_report_is_written_where_it_was_promised(shelf: Reports) -> None:
    uri = shelf.uri(KEY, "v1-w00000-drift")

    size = await shelf.write(job(0), columns(300, 1.0), columns(600, 0.0))

    assert size > 0
    assert shelf.uri(KEY, "v1-w00000-drift") == uri
    assert shelf.names("rainfall").keys() == {"reports", "evidently_project"}


async def test_nothing_to_compare_is_rejected(shelf: Reports) -> None:
    with pytest.raises(RejectedError, match="nothing to compare"):
        await shelf.write(job(0), {"wind": [None, None]}, {"wind": [1.0, 2.0]})


async def test_evidently_names_the_drifted_columns(tmp_path: Path, sidecar: Sidecar) -> None:
    shelf = real(tmp_path, sidecar)

    for number in range(3):
        await shelf.write(job(number), columns(300, 1.0), columns(600, 0.0))

    reports = Path(urlsplit(shelf.uri(KEY, "any")).path).parent
    kept = sorted(path.name for path in reports.iterdir())
    folder = tmp_path / "evidently" / shelf.names("rainfall")["evidently_project"]
    snapshots = list((folder / "snapshots").glob("*.json"))
    assert kept == ["v1-w00001-drift.html", "v1-w00002-drift.html"]
    assert json.loads((folder / "metadata.json").read_text())["name"] == "rainfall"
    assert len(snapshots) == 2
    html = (reports / kept[0]).read_text()
    assert "wind" in html
    assert "Drift is detected" in html


async def test_parquet_is_read_as_csv_is(tmp_path: Path, sidecar: Sidecar) -> None:
    pd.DataFrame({"wind": [0.5, None], "sky": ["blue", "grey"]}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("wind,sky\n0.5,blue\n,grey\n")
    tables = FileTables(sidecar)

    parquet = await tables.read("a.parquet", str(tmp_path))

    assert parquet == await tables.read("a.csv", str(tmp_path))
    assert parquet == Table({"wind": [0.5, None], "sky": ["blue", "grey"]}, 2)


@pytest.mark.parametrize(
    "name", ["rain", "rain/fall", "rain_fall", "rain fall", "..", "r" * 256, ""]
)
def test_every_model_has_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    shelf = real(tmp_path, Sidecar("mlops.absent"))
    others = ["rain", "rain/fall", "rain_fall", "rain fall", "..", "r" * 256, "r" * 255, ""]

    places = {Path(urlsplit(shelf.uri(ModelKey("p", it), "a")).path) for it in others}
    place = Path(urlsplit(shelf.uri(ModelKey("p", name), "a")).path)

    assert len(places) == len(others)
    assert place.parent.parent == tmp_path / "reports" / "p"
    assert len(place.parent.name) < 120


async def test_whatever_parquet_holds_becomes_plain_values(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    pd.DataFrame(
        {
            "wind": [1.5, float("inf"), None],
            "tags": [["a", "b"], [], None],
            "day": [pd.Timestamp("2026-05-01", tz="UTC"), pd.NaT, pd.NaT],
            "count": pd.array([1, None, 3], dtype="Int64"),
            "calm": [True, False, True],
            "sky": pd.Categorical(["blue", None, "grey"]),
        }
    ).to_parquet(tmp_path / "a.parquet")

    found = await FileTables(sidecar).read("a.parquet", str(tmp_path))

    assert found.columns == {
        "wind": [1.5, None, None],
        "tags": ["['a' 'b']", "[]", None],
        "day": ["2026-05-01 00:00:00+00:00", None, None],
        "count": [1, None, 3],
        "calm": [True, False, True],
        "sky": ["blue", None, "grey"],
    }


async def test_too_much_parquet_is_refused_and_the_child_answers_on(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    pd.DataFrame({f"c{i}": ["x" * 1000] * 20_001 for i in range(2)}).to_parquet(
        tmp_path / "a.parquet"
    )
    pd.DataFrame({"x": range(20_001)}).to_parquet(tmp_path / "b.parquet")
    tables = FileTables(sidecar)

    with pytest.raises(RejectedError, match="keep the columns that the model gets"):
        await tables.read("a.parquet", str(tmp_path))

    long = await tables.read("b.parquet", str(tmp_path))
    newest = long.columns["x"]
    assert long.rows == 20_001
    assert (newest[0], newest[-1], len(newest)) == (1, 20_000, 20_000)


@pytest.mark.parametrize("as_words", [False, True])
async def test_a_small_file_of_huge_rows_is_refused_before_it_is_unpacked(
    tmp_path: Path, sidecar: Sidecar, *, as_words: bool
) -> None:
    words = pa.DictionaryArray.from_arrays([0] * 20_000, ["x" * 1024 * 1024])
    pq.write_table(pa.table({"text": words}), tmp_path / "a.parquet", store_schema=as_words)
    assert (tmp_path / "a.parquet").stat().st_size < 2 * 1024 * 1024

    with pytest.raises(RejectedError, match="keep the columns that the model gets"):
        await FileTables(sidecar).read("a.parquet", str(tmp_path))


async def test_a_file_that_says_wrong_things_of_itself_is_refused(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    said = {"index_columns": ["absent"], "columns": 7, "column_indexes": []}
    table = pa.table({"x": [1]}).replace_schema_metadata({"pandas": json.dumps(said)})
    pq.write_table(table, tmp_path / "a.parquet")

    with pytest.raises(RejectedError, match="cannot be read as Parquet"):
        await FileTables(sidecar).read("a.parquet", str(tmp_path))
