# SPDX-License-Identifier: Apache-2.0
"""Bytes: a copy is what was hashed, whatever its length, also where it goes past the page cache."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
from pathlib import Path

import pytest

from mlops.versioning.adapters.dvc_bytes import begins_with, copy, digest, silent

LARGE = 1 << 24


@pytest.mark.parametrize("length", [0, 1, (1 << 16) + 1, LARGE, LARGE + 4097])
def test_a_copy_is_what_was_hashed(tmp_path: Path, length: int) -> None:
    content = os.urandom(length)
    (tmp_path / "source").write_bytes(content)
    told: list[int] = []

    found = copy(str(tmp_path / "source"), str(tmp_path / "copy"), told.append)

    assert (tmp_path / "copy").read_bytes() == content
    assert found == (hashlib.md5(content, usedforsecurity=False).hexdigest(), length)
    assert found == digest(str(tmp_path / "copy"), silent)
    assert sum(told) == length


def test_a_copy_is_read_only_and_never_over_another(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * LARGE)
    copy(str(tmp_path / "source"), str(tmp_path / "copy"), silent)

    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o444
    with pytest.raises(FileExistsError):
        copy(str(tmp_path / "source"), str(tmp_path / "copy"), silent)
    assert (tmp_path / "copy").stat().st_size == LARGE


@pytest.mark.parametrize("room", [LARGE, LARGE + 100])
def test_a_disk_that_takes_only_a_part_is_an_error(tmp_path: Path, room: int) -> None:
    (tmp_path / "source").write_bytes(b"x" * (LARGE + 4097))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            copy(str(tmp_path / "source"), str(tmp_path / "copy"), silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_beginning_of_a_file_is_compared(tmp_path: Path) -> None:
    (tmp_path / "grown").write_bytes(b"abcdef")
    oid = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()

    assert begins_with(str(tmp_path / "grown"), oid, 3)
    assert not begins_with(str(tmp_path / "grown"), oid, 4)
    assert not begins_with(str(tmp_path / "grown"), oid, 7)
