# SPDX-License-Identifier: Apache-2.0
"""Reports, Evidently's workspace and reports over a time in object storage, on a real S3 server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import botocore.session
import pytest

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters import evidently, pages, report_shelf
from mlops.monitoring.adapters.evidently import EvidentlyReports
from mlops.monitoring.adapters.pages import SidecarPages
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.adapters.report_shelf import SidecarShelf
from mlops.monitoring.model.reports import Answers, report
from mlops.monitoring.model.reports_entries import Lane, Moment
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports import ReportJob

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

KEY = ModelKey("rain", "rain")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=3)
ROWS: dict[str, list[Any]] = {"wind": [0.1 * i for i in range(60)], "prediction": [1, 0] * 30}


@pytest.fixture
async def sidecars(s3: Any) -> AsyncIterator[list[Sidecar]]:
    found = [
        Sidecar(module, env=s3.environment)
        for module in (evidently.WORKER, pages.WORKER, report_shelf.WORKER)
    ]
    yield found
    for one in found:
        await one.close()


def keys(s3: Any, bucket: str) -> list[str]:
    amazon = botocore.session.get_session().create_client("s3", **client(s3))
    listed = amazon.list_objects_v2(Bucket=bucket)
    amazon.close()
    return sorted(one["Key"] for one in listed.get("Contents", []))


def content(s3: Any, bucket: str, key: str) -> Any:
    amazon = botocore.session.get_session().create_client("s3", **client(s3))
    found = json.loads(amazon.get_object(Bucket=bucket, Key=key)["Body"].read())
    amazon.close()
    return found


def client(s3: Any) -> dict[str, str]:
    return {
        "endpoint_url": s3.environment["AWS_ENDPOINT_URL_S3"],
        "region_name": s3.environment["AWS_DEFAULT_REGION"],
        "aws_access_key_id": s3.key,
        "aws_secret_access_key": s3.secret,
    }


def shelf(root: Place, sidecar: Sidecar) -> EvidentlyReports:
    places, age = (root.at("reports"), root.at("evidently")), timedelta(days=9)
    return EvidentlyReports(*places, sidecar, timeout=MINUTES, keep=2, keep_for=age)


async def test_reports_and_snapshots_stand_in_the_bucket_and_old_ones_go(
    s3: Any, sidecars: list[Sidecar]
) -> None:
    root = Place(s3.bucket("kept") + "/ml")
    found = shelf(root, sidecars[0])

    for number in range(3):
        job = ReportJob(str(number), "s", KEY, 1, number, "drift", f"v1-w{number}")
        await found.write(job, ROWS, ROWS)
        window = Window(number, 1, 60, 60, first_at=NOON, last_at=NOON, index=number)
        await found.snapshot(KEY, window, ROWS, ROWS)

    assert found.uri(KEY, "v1-w1") == "s3://kept/ml/reports/rain/rain/v1-w1.html"
    names = keys(s3, "kept")
    pages_ = [name for name in names if name.endswith(".html")]
    assert pages_ == [f"ml/reports/rain/rain/v1-w{number}.html" for number in (1, 2)]
    assert sum("/snapshots/" in name for name in names) == 2
    [project] = [name for name in names if name.endswith("metadata.json")]
    assert content(s3, "kept", project)["name"] == "rain / rain"


async def test_reports_over_a_time_stand_there_too(s3: Any, sidecars: list[Sidecar]) -> None:
    home = Place(s3.bucket("kept") + "/reports")
    store = SidecarPages(home, sidecars[1], ZoneInfo("UTC"), timeout=MINUTES, keep=1)
    moment = Moment("rain", NOON, Lane.ROLLOUT, "rain v2 answers", "rain")

    made = []
    for day in range(2):
        period = Period("day", NOON - timedelta(hours=1), NOON + timedelta(days=day + 1))
        made.append(await store.write(report([moment], [], period, "rain", Answers([1.0]))))

    name = "rain/2026-05-01T110000--2026-05-03T120000-day"
    assert made[-1].uri == f"s3://kept/reports/{name}.html"
    assert keys(s3, "kept") == [f"reports/{name}{end}" for end in (".html", ".json", "/story.png")]
    shelf = SidecarShelf(home, sidecars[2], MINUTES)
    [listed] = await shelf.pages(["rain", "absent"])
    piece = await shelf.piece(listed.path, 10, 5)
    assert (listed.path, listed.size_bytes) == (f"{name}.html", made[-1].size_bytes)
    assert piece is not None
    assert piece.content == b"html>"
    assert piece.written_at == listed.written_at.replace(microsecond=0)  # as the store tells it
    assert await shelf.piece("rain/absent.html", 0, 5) is None


async def test_a_bucket_that_is_not_there_is_trouble_that_may_pass(
    sidecars: list[Sidecar],
) -> None:
    found = shelf(Place("s3://absent/ml"), sidecars[0])

    with pytest.raises(UnavailableError):
        await found.write(ReportJob("1", "s", KEY, 1, 1, "drift", "v1"), ROWS, ROWS)
