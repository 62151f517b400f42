# SPDX-License-Identifier: Apache-2.0
"""What people have pushed with DVC by hand: it is on our remote, and on the disk, before it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.config import Config

from mlops.versioning.adapters import dvc_transfer
from mlops.versioning.adapters.dvc_setup import prepare
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.people_worker import claimed


@pytest.mark.parametrize("where", ["remote", "theirs"])
def test_what_is_claimed_is_flushed_whoever_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder, remote, cache = (str(tmp_path / name) for name in ("rain", "remote", "cache"))
    Path(folder).mkdir()
    prepare(folder, remote, cache)
    with Config(str(Path(folder) / ".dvc")).edit("local") as local:
        local["remote"]["theirs"] = {"url": str(tmp_path / "theirs")}
    oid = Store(str(tmp_path / where / "files" / "md5")).add_bytes(b"wet")
    (Path(folder) / "days.csv.dvc").write_text(
        f"outs:\n- md5: {oid}\n  hash: md5\n  path: days.csv\n"
    )
    flushed: list[str] = []
    ours = Store(f"{remote}/files/md5")

    def settle(*stores: str) -> None:
        flushed.extend(store for store in stores if ours.size(oid) is not None)

    monkeypatch.setattr(dvc_transfer, "settle", settle)
    heard: list[int] = []
    found = claimed(folder, remote, cache, "days.csv.dvc", 1_000_000, tell=heard.append)

    assert found is not None
    assert (found["oid"], found["path"]) == (oid, "days.csv")
    assert flushed == [f"{cache}/files/md5", ours.path]
    assert heard


def test_what_no_remote_holds_is_not_claimed(tmp_path: Path) -> None:
    folder, remote, cache = (str(tmp_path / name) for name in ("rain", "remote", "cache"))
    Path(folder).mkdir()
    prepare(folder, remote, cache)
    oid = Store(f"{cache}/files/md5").add_bytes(b"wet")
    (Path(folder) / "days.csv.dvc").write_text(
        f"outs:\n- md5: {oid}\n  hash: md5\n  path: days.csv\n"
    )

    assert claimed(folder, remote, cache, "days.csv.dvc") is None
