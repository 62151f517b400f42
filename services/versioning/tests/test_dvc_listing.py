# SPDX-License-Identifier: Apache-2.0
"""A listing may come from anybody who can write a remote: what it names stays in the cache and in the dataset."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

SECRET = b"secret"
HONEST = hashlib.md5(SECRET, usedforsecurity=False).hexdigest()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A read-only file outside of the cache, at a place such as objects have."""
    file = tmp_path / "elsewhere" / "ab" / ("c" * 30)
    file.parent.mkdir(parents=True)
    file.write_bytes(SECRET)
    file.chmod(0o444)
    return file


def held(store: Store, relpath: str, address: str) -> str:
    return store.add_bytes(json.dumps([{"md5": address, "relpath": relpath}]).encode(), ".dir")


async def test_a_listing_leads_out_of_neither_the_cache_nor_the_dataset(
    tmp_path: Path, elsewhere: Path
) -> None:
    store = Store(str(tmp_path / "cache" / "files" / "md5"))
    datasets = DvcDatasets(tmp_path / "state")
    place = Place("rain", str(tmp_path), str(tmp_path / "remote"), str(tmp_path / "cache"))
    for relpath, address in [
        ("a", f"xx{elsewhere}"),
        ("a", f"xx/../../../{elsewhere.relative_to(tmp_path)}"),
        ("a", f"{HONEST}\n"),
        ("../a", HONEST),
        ("/a", HONEST),
    ]:
        oid = held(store, relpath, address)

        with pytest.raises(RejectedError, match="the listing"):
            await datasets.files(place, Content(oid, len(SECRET), 1, ""))
        with pytest.raises(RejectedError, match="the listing"):
            contents(store, oid)
    await datasets.close()


def test_an_honest_listing_names_its_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "files" / "md5"))

    assert contents(store, held(store, "a/b", HONEST)) == {"a/b": HONEST}
