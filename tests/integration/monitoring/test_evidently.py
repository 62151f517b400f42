# SPDX-License-Identifier: Apache-2.0
"""Reports by the real Evidently in its real child process; the fake shelf keeps the same promises."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports, project_id
from mlops.monitoring.adapters.memory import MemoryReports
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports import ReportJob, Reports, Table
from servers.programs import children_running

pytestmark = pytest.mark.timeout(240)

KEY = ModelKey("rainfall", "rain/fall")
NOON, HOUR = datetime(2026, 5, 1, 12, tzinfo=UTC), timedelta(hours=1)


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    child = Sidecar(WORKER, env={"DO_NOT_TRACK": "1"})
    yield child
    await child.close()


def real(folder: Path, sidecar: Sidecar) -> EvidentlyReports:
    return EvidentlyReports(
        Place(str(folder / "reports")),
        Place(str(folder / "evidently")),
        sidecar,
        timeout=timedelta(seconds=200),
        keep=2,
        keep_for=timedelta(days=30),
    )


def window(index: int) -> Window:
    return Window(index, 1, 300, 300, first_at=NOON, last_at=NOON + index * HOUR, index=index)


def files(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in folder.rglob(pattern)]


def shown(folder: Path, key: ModelKey) -> list[dict[str, Any]]:
    """Return the snapshots that Evidently's interface has of a model, oldest first."""
    kept = (folder / "evidently" / str(project_id(key)) / "snapshots").glob("*.json")
    return sorted((json.loads(path.read_text()) for path in kept), key=lambda it: it["timestamp"])


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
        "sky": [str(value) for value in rng.choice(["blue", "grey<body>"], rows)],
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
    assert shelf.names("rainfall").keys() == {"reports", "evidently_projects"}


async def test_nothing_to_compare_is_rejected(shelf: Reports) -> None:
    with pytest.raises(RejectedError, match="nothing to compare"):
        await shelf.write(job(0), {"wind": [None, None]}, {"wind": [1.0, 2.0]})


async def test_evidently_names_the_drifted_columns(tmp_path: Path, sidecar: Sidecar) -> None:
    shelf = real(tmp_path, sidecar)

    for number in range(3):
        remarks = ["Hours that it never saw <may> explain it."]
        await shelf.write(job(number), columns(300, 1.0), columns(600, 0.0), remarks)

    reports = Path(urlsplit(shelf.uri(KEY, "any")).path).parent
    kept = sorted(path.name for path in reports.iterdir())
    folder = tmp_path / "evidently" / str(project_id(KEY))
    snapshots = list((folder / "snapshots").glob("*.json"))
    assert kept == ["v1-w00001-drift.html", "v1-w00002-drift.html"]
    assert json.loads((folder / "metadata.json").read_text())["name"] == "rainfall / rain/fall"
    assert len(snapshots) == 2
    html = (reports / kept[0]).read_text()
    assert "wind" in html
    assert "Drift is detected" in html
    assert html.index("saw &lt;may&gt; explain") < html.index('<div id="root_metric')
    assert "the above is what alerts are made of" in html


async def test_nothing_to_compare_makes_no_snapshot(shelf: Reports) -> None:
    with pytest.raises(RejectedError, match=r"nothing to compare|no column has values"):
        await shelf.snapshot(KEY, window(1), {"wind": [None, None]}, {"wind": [1.0, 2.0]})


async def test_every_model_has_curves_of_its_windows(tmp_path: Path, sidecar: Sidecar) -> None:
    shelf, other = real(tmp_path, sidecar), ModelKey("rainfall", "snow")

    for key, index in ((KEY, 1), (KEY, 2), (KEY, 3), (other, 1)):
        await shelf.snapshot(key, window(index), columns(300, 1.0), columns(600, 0.0))

    kept = shown(tmp_path, KEY)
    assert [one["timestamp"][:16] for one in kept] == ["2026-05-01T14:00", "2026-05-01T15:00"]
    assert len(shown(tmp_path, other)) == 1
    folder = tmp_path / "evidently" / str(project_id(KEY))
    panels = json.loads((folder / "dashboard.json").read_text())["panels"]
    assert len(panels) == 3
    words = json.dumps(kept[0])
    assert [
        it for it in ("RowCount", "MissingValueCount", "DriftedColumnsCount") if it not in words
    ] == []
    assert "plotly" not in words


async def test_what_is_too_old_goes_with_the_next_one(tmp_path: Path, sidecar: Sidecar) -> None:
    shelf = real(tmp_path, sidecar)
    await shelf.snapshot(KEY, window(1), columns(300, 1.0), columns(600, 0.0))
    await shelf.write(job(0), columns(300, 1.0), columns(600, 0.0))
    for path in files(tmp_path, "snapshots/*.json", "*.html"):
        os.utime(path, (0, 0))

    await shelf.write(job(1), columns(300, 1.0), columns(600, 0.0))

    assert [path.name for path in files(tmp_path, "*.html")] == ["v1-w00001-drift.html"]
    assert len(shown(tmp_path, KEY)) == 1


async def test_after_its_writer_was_killed_the_next_report_is_written_by_a_new_one(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    shelf = real(tmp_path, sidecar)
    await shelf.snapshot(KEY, window(1), columns(300, 1.0), columns(600, 0.0))
    for child in children_running(WORKER):
        child.kill()
        child.wait(10)

    with suppress(UnavailableError):  # whose death the first call may be the one to find
        await shelf.write(job(0), columns(300, 1.0), columns(600, 0.0))

    assert await shelf.write(job(0), columns(300, 1.0), columns(600, 0.0)) > 0


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
