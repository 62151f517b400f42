# SPDX-License-Identifier: Apache-2.0
"""What people have pushed with DVC by hand: it is on our remote, and on the disk, before it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.config import Config

from mlops.versioning.adapters import dvc_transfer
from mlops.versioning.adapters.dvc_setup import prepare
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.people_worker import claimed, unpushed


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


def test_many_are_asked_for_at_once_and_one_bad_pipeline_or_remote_hides_no_other(
    tmp_path: Path,
) -> None:
    folder, remote, cache = (str(tmp_path / name) for name in ("rain", "remote", "cache"))
    for name in ("bad", "odd"):
        Path(folder, name).mkdir(parents=True)
    prepare(folder, remote, cache)
    with Config(str(Path(folder) / ".dvc")).edit("local") as local:
        local["remote"]["theirs"] = {"url": str(tmp_path / "theirs")}
        local["remote"]["broken"] = {"url": "remote://nowhere/there"}
    ours, theirs = (
        Store(str(tmp_path / where / "files" / "md5")).add_bytes(where.encode())
        for where in ("remote", "theirs")
    )
    Path(folder, "dvc.yaml").write_text(
        "stages:\n  prep:\n    cmd: make\n    outs:\n    - out\n    - log:\n        cache: false\n"
    )
    Path(folder, "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  prep:\n    cmd: make\n    outs:\n"
        f"    - path: log\n      md5: {'a' * 32}\n    - path: out\n      hash: md5\n      md5: {'b' * 32}\n"
    )
    Path(folder, "bad", "dvc.yaml").write_text("stages: [\n")
    Path(folder, "odd", "dvc.yaml").write_text(
        "stages:\n  prep:\n    cmd: make\n    outs:\n    - out\n"
    )
    Path(folder, "odd", "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  prep:\n    cmd: make\n    outs:\n"
        "    - path: out\n      md5: 55555\n"
    )

    found = unpushed(
        folder,
        remote,
        cache,
        {
            "ours.dvc": ours,
            "theirs.dvc": theirs,
            "left.dvc": "0" * 32,
            "dvc.lock:prep:log": "a" * 32,
            "dvc.lock:prep:out": "b" * 32,
            "dvc.lock:gone:out": "3" * 32,
            "bad/dvc.lock:prep:out": "4" * 32,
            "odd/dvc.lock:prep:out": "5" * 32,
        },
    )

    assert found["unpushed"] == [
        "left.dvc",
        "dvc.lock:prep:out",
        "bad/dvc.lock:prep:out",
        "odd/dvc.lock:prep:out",
    ]
    assert found["not_kept"] == ["dvc.lock:gone:out", "dvc.lock:prep:log"]
    assert len(found["problems"]) == 3
