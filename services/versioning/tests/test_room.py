# SPDX-License-Identifier: Apache-2.0
"""A quota counts what versions share once, and a remote that nothing here can speak to is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_room import check
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.remotes import refuse_missing_driver


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "files" / "md5"))


def folder_of(store: Store, **files: bytes) -> str:
    lines = [{"md5": store.add_bytes(content), "relpath": name} for name, content in files.items()]
    return store.add_bytes(json.dumps(lines).encode(), ".dir")


def test_what_fits_is_taken_and_one_byte_more_is_not(store: Store) -> None:
    held, new = store.add_bytes(b"a" * 600), store.add_bytes(b"b" * 400)

    check(store, new, [held], 1000)

    with pytest.raises(RejectedError, match=r"hold 0\.000 GB .* adds 0\.000 GB.*quota_gb"):
        check(store, new, [held], 999)


def test_the_numbers_are_said_in_gigabytes(store: Store) -> None:
    held, new = store.add_bytes(b"a" * 600), store.add_bytes(b"b" * 4_000_000)

    with pytest.raises(
        RejectedError, match=r"adds 0\.004 GB: more than \[data\] quota_gb = 0\.003;"
    ):
        check(store, new, [held], 3_000_000)


def test_what_versions_share_counts_once(store: Store) -> None:
    first = folder_of(store, a=b"a" * 5000)
    second = folder_of(store, a=b"a" * 5000, b=b"b" * 10)

    check(store, second, [first], 6000)


def test_content_that_a_version_holds_already_needs_no_room(store: Store) -> None:
    held = store.add_bytes(b"a" * 600)

    check(store, held, [held], 1)


def test_content_that_left_the_cache_is_not_counted(store: Store) -> None:
    new = store.add_bytes(b"a" * 600)

    check(store, new, ["d" * 32, f"{'e' * 32}.dir"], 600)


@pytest.mark.parametrize("remote", ["/data", "s3://bucket/rain"])
def test_a_remote_whose_driver_is_here_is_taken(remote: str) -> None:
    refuse_missing_driver(remote)


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ("gs://bucket/rain", r"needs dvc-gs.*pip install 'dvc\[gs\]'"),
        ("azure://bucket/rain", r"needs dvc-azure.*pip install 'dvc\[azure\]'"),
        ("ftp://host/rain", r"DVC knows no 'ftp'; it knows .*azure"),
    ],
)
def test_a_remote_without_its_driver_is_refused_with_what_to_install(
    remote: str, said: str
) -> None:
    with pytest.raises(RejectedError, match=said):
        refuse_missing_driver(remote)
