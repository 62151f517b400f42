# SPDX-License-Identifier: Apache-2.0
"""Example messages of versioning: the third version of one dataset."""

from __future__ import annotations

from typing import Any

from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    AddData,
    DataPushed,
    DataRestored,
    DataVersioned,
    PullData,
    PushData,
    RestoreData,
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
    DataVersioned(**_DATA, remote=_REMOTE, parent_version=2, run_id=_RUN_ID),
    DataPushed(**_DATA, remote=_REMOTE, objects=1),
    DataRestored(**_DATA),
    AddData(project="rainfall", name="weather", path="data/weather.csv", run_id=_RUN_ID),
    PushData(project="rainfall", name="weather"),
    PullData(project="rainfall", name="weather"),
    RestoreData(project="rainfall", name="weather", version=2),
)
