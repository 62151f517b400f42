# SPDX-License-Identifier: Apache-2.0
"""Example messages of versioning: the third version of one dataset."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    AddData,
    AliasData,
    CollectData,
    DamagedVersion,
    DataAliased,
    DataCollected,
    DataPushed,
    DataRemoved,
    DataRestored,
    DataTagged,
    DataUnaliased,
    DataVerified,
    DataVersioned,
    PullData,
    PushData,
    RemoteLost,
    RemoteRegained,
    RemoveData,
    RestoreData,
    TagData,
    UnaliasData,
    VerifyData,
)

_RUN_ID = "0b7c9a4be61b4f0f8f8f3a5a3c1f2d11"
_REMOTE = "s3://datasets/rainfall"
_DATA: dict[str, Any] = {
    "project": "rainfall",
    "name": "weather",
    "version": 3,
    "hash": "d41d8cd98f00b204e9800998ecf8427e",
    "size_bytes": 1_482_113,
    "files": 1,
    "path": "data/weather.csv",
}

EXAMPLES: tuple[Message, ...] = (
    DataVersioned(**_DATA, remote=_REMOTE, parent_version=2, run_id=_RUN_ID, stage="clean"),
    DataPushed(**_DATA, remote=_REMOTE, objects=1),
    DataRestored(**_DATA),
    DataAliased(**_DATA, alias="production"),
    DataUnaliased(**_DATA, alias="golden"),
    DataTagged(**_DATA, tags=("checked", "source=dwd"), description="June corrected by hand."),
    DataRemoved(**_DATA),
    DataVerified(
        project="rainfall",
        name="weather",
        versions=3,
        objects=3,
        size_bytes=4_446_339,
        repaired=1,
        repair=True,
        damaged_versions=1,
        damaged=(DamagedVersion(name="weather", version=1),),
        repaired_on_remote=1,
        unread=1,
    ),
    DataCollected(project="rainfall", versions=2, objects=2, size_bytes=2_964_226, dry_run=False),
    RemoteLost(
        project="rainfall",
        remote=_REMOTE,
        reason=f"remote {_REMOTE}: could not connect; check the network and the address",
        lost_at=datetime(2026, 1, 1, 11, 55, tzinfo=UTC),
    ),
    RemoteRegained(project="rainfall", remote=_REMOTE),
    AddData(
        project="rainfall", name="weather", path="data/weather.csv", run_id=_RUN_ID, reread=True
    ),
    PushData(project="rainfall", name="weather"),
    PullData(project="rainfall", name="weather", alias="production"),
    RestoreData(project="rainfall", name="weather", version=2),
    AliasData(project="rainfall", name="weather", alias="production", version=3),
    UnaliasData(project="rainfall", name="weather", alias="golden"),
    TagData(
        project="rainfall",
        name="weather",
        version=3,
        add=("checked", "source=dwd"),
        remove=("draft",),
        description="June corrected by hand.",
    ),
    RemoveData(project="rainfall", name="weather", version=1, force=True),
    VerifyData(project="rainfall", name="weather", repair=True, deep=True),
    CollectData(project="rainfall", dry_run=True, unnamed=True),
)
