# SPDX-License-Identifier: Apache-2.0
"""A copy in DVC's cache that is longer than what was hashed becomes a version of its own, whole and readable."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

# DVC's own: it runs in this process here, and nowhere else.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

PREPARED = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in PREPARED:
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (tmp_path / "rain").mkdir()
    return tmp_path / "rain"


def opened(folder: Path) -> Any:
    # Imported late: DVC is a second's import that no other test of this process needs.
    from dvc.repo import Repo  # noqa: PLC0415

    from mlops.versioning.adapters.dvc_setup import prepare  # noqa: PLC0415

    prepare(str(folder), str(folder.parent / "remote"), str(folder.parent / "cache"))
    return Repo(str(folder))


def grow(file: str) -> None:
    Path(file).chmod(0o644)
    with Path(file).open("ab") as held:
        held.write(b"late\n")


def settle(repo: Any, stage: Any) -> bool:
    from mlops.versioning.adapters.dvc_settle import settle as real  # noqa: PLC0415

    return real(repo, stage)


def test_a_file_copied_longer_than_it_was_hashed_is_what_was_copied(folder: Path) -> None:
    (folder / "days.csv").write_bytes(b"early\n")
    with opened(folder) as repo:
        [stage] = repo.add(str(folder / "days.csv"), relink=False)
        cache = repo.cache.local
        grow(cache.oid_to_path(stage.outs[0].hash_info.value))

        settled = settle(repo, stage)

        whole = hashlib.md5(b"early\nlate\n", usedforsecurity=False).hexdigest()
        assert settled
        assert (stage.outs[0].hash_info.value, stage.outs[0].meta.size) == (whole, 11)
        assert Path(cache.oid_to_path(whole)).read_bytes() == b"early\nlate\n"
    assert f"md5: {whole}\n  size: 11" in (folder / "days.csv.dvc").read_text()


def test_a_folder_with_a_file_copied_longer_has_to_be_added_again(folder: Path) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_bytes(b"early\n")
    with opened(folder) as repo:
        [stage] = repo.add(str(folder / "days"), relink=False)
        [torn] = [o for o in repo.cache.local.all() if not o.endswith(".dir")]
        grow(repo.cache.local.oid_to_path(torn))

        settled = settle(repo, stage)

        assert not settled
        assert not Path(repo.cache.local.oid_to_path(torn)).exists()
