# SPDX-License-Identifier: Apache-2.0
"""A run's message names the versions it has read: exactly by address, likely by place and time, else not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.tracking import ModelRegistered, RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.contracts.versioning import DataRestored, DataVersioned
from mlops.tracking.handlers.datasets import KnownData
from mlops.tracking.model.datasets import History, Version, place_of, remembered
from mlops.tracking.model.facts import Dataset

A, B, FOLDER = "a" * 32, "b" * 32, "c" * 32 + ".dir"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A remembered run lasts from the first to the second of these.
BEGAN, ENDED = EPOCH + timedelta(seconds=1), EPOCH + timedelta(seconds=2)
BEFORE, DURING = BEGAN - timedelta(seconds=0.5), BEGAN + timedelta(seconds=0.5)
CSV = "/home/ada/rain/data/rain.csv"


def versioned(
    number: int,
    address: str,
    at: datetime,
    name: str = "rain",
    path: str = "data/rain.csv",
    stage: str = "",
) -> DataVersioned:
    return DataVersioned(
        project="rain",
        name=name,
        version=number,
        hash=address,
        size_bytes=1,
        files=1,
        path=path,
        stage=stage,
        remote="/r",
        time=at,
    )


def restored(told: DataVersioned) -> DataRestored:
    return DataRestored.model_validate(told.model_dump(exclude={"id", "remote"}))


async def read(world: Any, logged: Dataset, **tags: str) -> tuple[DatasetVersion, ...]:
    """Return what `run.completed` says of a run that has logged an input."""
    run_id = world.tracking.start_run("rain", inputs=[logged], tags=tags)
    world.tracking.end_run(run_id)
    await world.settle()
    completed = world.told(RunCompleted)[-1]
    assert isinstance(completed, RunCompleted)
    return completed.datasets


@pytest.fixture
async def known(world: Any) -> Any:
    await world.project()
    await world.bus.publish(versioned(1, A, BEFORE - timedelta(hours=1)))
    await world.bus.publish(versioned(2, B, BEFORE))
    await world.bus.publish(versioned(1, FOLDER, BEFORE, "days", "data/days"))
    await world.settle()
    return world


@pytest.mark.parametrize(
    "logged",
    [
        Dataset("train", None, A),
        Dataset("train", None, "12345678", source=f"s3://b/rain/files/md5/aa/{A[2:]}"),
        Dataset("train", None, "12345678", source=f"file:///home/cache/files/md5/aa/{A[2:]}"),
        Dataset("rain", None, A[:8]),
    ],
)
async def test_a_contents_address_names_the_version_exactly(known: Any, logged: Dataset) -> None:
    assert await read(known, logged) == (DatasetVersion(name="rain", version=1, hash=A),)


@pytest.mark.parametrize(
    ("logged", "name"),
    [
        (Dataset("dataset", None, "12345678", source=CSV), "rain"),
        (Dataset("dataset", None, "12345678", source="./data/rain.csv"), "rain"),
        (Dataset("rain", None, "12345678"), "rain"),
    ],
)
async def test_a_place_names_the_version_that_likely_stood_there(
    known: Any, logged: Dataset, name: str
) -> None:
    [found] = await read(known, logged)

    assert (found.name, found.version, found.likely_version) == (name, None, 2)
    assert found.hash == "12345678"


async def test_a_file_of_a_folder_is_of_the_folders_dataset(known: Any) -> None:
    logged = Dataset("dataset", None, "12345678", source="/home/ada/rain/data/days/1/a.csv")

    [found] = await read(known, logged)

    assert (found.name, found.likely_version) == ("days", 1)


@pytest.mark.parametrize(
    "logged",
    [
        Dataset("rain", None, "12345678", source="/home/eve/clone/data/rain.csv"),
        Dataset("rain", None, "12345678", source="../other/rain.csv"),
        Dataset("rain", None, "12345678", source="https://example.org/data/rain.csv"),
        Dataset("dataset", None, "12345678"),
        Dataset("rain", None, "d" * 32, source="/elsewhere"),
    ],
)
async def test_what_was_read_elsewhere_is_told_as_it_was_logged(
    known: Any, logged: Dataset
) -> None:
    assert await read(known, logged) == (DatasetVersion(name=logged.name, hash=logged.hash),)


async def test_a_version_that_came_while_the_run_read_leaves_it_open(known: Any) -> None:
    await known.bus.publish(versioned(3, "d" * 32, DURING))

    [found] = await read(known, Dataset("rain", None, "12345678", source=CSV))

    assert (found.name, found.version, found.likely_version) == ("rain", None, None)


async def test_a_restored_version_stands_at_its_place_again(known: Any) -> None:
    at = BEFORE + timedelta(seconds=0.1)
    await known.bus.publish(restored(versioned(1, A, at)))

    [found] = await read(known, Dataset("rain", None, "12345678", source=CSV))

    assert found.likely_version == 1


@pytest.mark.parametrize(
    ("here", "commit", "source", "likely"),
    [
        (B, B, "data/rain.csv", 2),
        (A, None, CSV, None),
        (None, A, "data/rain.csv", None),
        (B, A, CSV, 2),
    ],
)
async def test_a_dvc_file_that_names_another_content_leaves_it_open(
    known: Any, here: str | None, commit: str | None, source: str, likely: int | None
) -> None:
    known.files.here = {"data/rain.csv": here} if here else {}
    known.files.commits = {("abc1234", "data/rain.csv"): commit} if commit else {}

    [found] = await read(
        known,
        Dataset("rain", None, "12345678", source=source),
        **{"mlflow.source.git.commit": "abc1234"},
    )

    assert found.likely_version == likely


async def test_a_path_of_two_names_is_told_by_the_name_that_stood_there(known: Any) -> None:
    await known.bus.publish(versioned(2, FOLDER, DURING, name="new"))

    [found] = await read(known, Dataset("dataset", None, "12345678", source=CSV))

    assert (found.name, found.version, found.likely_version) == ("rain", None, None)


@pytest.mark.parametrize(("locked", "likely"), [(None, None), (B, None), (A, 1)])
@pytest.mark.parametrize("again", [False, True])
async def test_a_pipelines_output_is_likely_only_where_its_content_is_named_there(
    known: Any, locked: str | None, likely: int | None, *, again: bool
) -> None:
    made = versioned(1, A, BEFORE, "out", "work/out", stage="prepare")
    await known.bus.publish(made)
    if again:
        await known.bus.publish(restored(made))
    known.files.here = {"work/out": locked} if locked else {}

    [found] = await read(
        known, Dataset("dataset", None, "12345678", source="/home/ada/rain/work/out/x.csv")
    )

    assert (found.name, found.likely_version) == ("out", likely)


async def test_a_history_of_before_names_were_kept_still_tells(known: Any) -> None:
    documents = known.bus.documents("tracking_data", KnownData)

    def without_names(now: KnownData | None) -> KnownData:
        held = (now or KnownData()).model_dump(mode="json")
        for one in held["history"]["standing"]:
            del one["name"]
        for one in held["history"]["versions"]:
            del one["stage"]
        return KnownData.model_validate(held)

    for key in await documents.all():
        await documents.change(key, without_names, applied="old")

    [found] = await read(known, Dataset("dataset", None, "12345678", source=CSV))

    assert (found.name, found.likely_version) == ("rain", 2)


async def test_a_model_names_the_versions_its_run_has_read(known: Any) -> None:
    run_id = known.tracking.start_run("rain", inputs=[Dataset("train", None, B)])
    known.tracking.register("rain", "rain", run_id)
    await known.settle()

    [registered] = known.told(ModelRegistered)
    assert registered.datasets == (DatasetVersion(name="rain", version=2, hash=B),)


async def test_one_content_of_two_datasets_is_named_by_the_name_that_was_logged(
    known: Any,
) -> None:
    await known.bus.publish(versioned(1, A, BEFORE, "gale", "data/gale.csv"))

    [found] = await read(known, Dataset("gale", None, A))
    [open_] = await read(known, Dataset("storm", None, A))

    assert (found.name, found.version) == ("gale", 1)
    assert (open_.name, open_.version) == ("storm", None)


def test_a_history_keeps_the_newest_and_knows_a_version_once() -> None:
    history = History()
    for number in [*range(1, 400), 399]:
        version = Version("rain", number, f"{number:032}", "data/rain.csv")
        history = remembered(history, version, EPOCH + timedelta(seconds=number))

    assert len(history.versions) == len(history.standing) == 300
    assert history.versions[-1].number == 399


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("/home/ada/rain/data/../../secret", None),
        ("/home/ada/rain", None),
        ("file:///home/ada/rain/data/a%20b.csv", "data/a b.csv"),
        ("s3://bucket/data/rain.csv", None),
        ("", None),
        ("http://[bad/x.csv", None),
        ("data//rain.csv", "data/rain.csv"),
    ],
)
def test_a_source_is_a_place_in_the_folder_or_none(source: str, place: str | None) -> None:
    assert place_of(source, "/home/ada/rain") == place
