# SPDX-License-Identifier: Apache-2.0
"""What a restore writes beside the data: a `.dvc` file, also for what a pipeline made; none over a pipeline's record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import parse_yaml

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData, RestoreData
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.model import Content, Version, dvc_text
from mlops.versioning.ports import Place

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class NotedDatasets(MemoryDatasets):
    """Notes with which record a content was restored."""

    records: list[str] = field(default_factory=list)

    async def restore(self, place: Place, path: str, content: Content, **options: Any) -> None:
        self.records.append(content.dvc_text)
        await super().restore(place, path, content, **options)


def wired(datasets: MemoryDatasets, versions: MemoryVersions, folder: Path) -> MemoryBus:
    bus = MemoryBus()
    wire(
        bus,
        datasets,
        versions,
        FileDifferences(),
        Errands(),
        DvcFiles({}),
        remote_root="/remote",
        cache=str(folder / "cache"),
        clock=lambda: NOON,
    )
    return bus


@pytest.mark.parametrize("stages", [("prep", ""), ("", "prep"), ("prep", "prep")])
async def test_a_record_is_written_unless_a_pipeline_keeps_one(
    tmp_path: Path, stages: tuple[str, str]
) -> None:
    datasets, versions = NotedDatasets(), MemoryVersions()
    bus = wired(datasets, versions, tmp_path)
    settings = ProjectSettings(name="rain")
    await bus.publish(
        ProjectRegistered(project="rain", settings=settings, path=str(tmp_path), revision=1)
    )
    for number, stage in enumerate(stages, 1):
        (tmp_path / "days.csv").write_text(f"{number}\n")
        await bus.publish(AddData(project="rain", name="seed", path="days.csv"))
        await bus.settle()
        held = (await versions.known("rain", "seed"))[-1].content
        content = replace(held, dvc_text="" if stage else "text")
        version = Version(
            "rain", "days", 1, "days.csv", content, "/remote", None, None, NOON, stage=stage
        )
        await versions.remember(version, f"{number}")
        (tmp_path / "days.csv.dvc").unlink(missing_ok=True)

    await bus.publish(RestoreData(project="rain", name="days", version=1))
    await bus.settle()

    [record] = datasets.records
    assert (tmp_path / "days.csv").read_text() == "1\n"
    assert bool(record) == (not stages[1])
    if stages == ("prep", ""):
        [first, _] = await versions.known("rain", "days")
        [out] = parse_yaml(record, "days.csv.dvc")["outs"]
        assert (out["md5"], out["size"], out["path"]) == (first.content.oid, 2, "days.csv")


@pytest.mark.parametrize("name", ["days", "ä: b", "#", 'a"b', "true"])
def test_a_record_is_read_as_it_was_meant(name: str) -> None:
    oid = "1" * 32 + ".dir"

    [out] = parse_yaml(dvc_text(Content(oid, 10, 2, ""), name), "x.dvc")["outs"]

    assert out == {"md5": oid, "size": 10, "nfiles": 2, "hash": "md5", "path": name}
