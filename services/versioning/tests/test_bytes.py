# SPDX-License-Identifier: Apache-2.0
"""Bytes: a copy is what was hashed, whatever its length, also where it goes past the page cache."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
from pathlib import Path

import pytest

from mlops.versioning.adapters.dvc_bytes import begins_with, copy, digest, duplicate, silent

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


def test_a_large_copy_goes_past_the_page_cache_however_little_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_without_direct_writing(tmp_path / "probe")
    content, real, direct = os.urandom(LARGE + 4097), os.write, list[bool]()
    (tmp_path / "source").write_bytes(content)

    def two_thirds(file: int, piece: memoryview) -> int:
        direct.append(bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT))
        # Whole blocks, as a disk takes them.
        return real(file, piece[: len(piece) * 2 // 3 // 4096 * 4096 or None])

    monkeypatch.setattr("os.write", two_thirds)
    found = copy(str(tmp_path / "source"), str(tmp_path / "copy"), silent)

    assert (tmp_path / "copy").read_bytes() == content
    assert found == (hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))
    # Only what is left at the end is no whole number of blocks.
    assert direct.count(True) > 8
    assert not direct[-1]


def test_what_is_not_in_memory_is_read_past_the_page_cache_and_what_is_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_without_direct_writing(tmp_path / "probe")
    content, real, direct = os.urandom(LARGE + 4097), os.readv, list[bool]()
    (tmp_path / "in memory").write_bytes(content)
    # Written past the page cache, so that nothing of it is there.
    copy(str(tmp_path / "in memory"), str(tmp_path / "source"), silent)
    with (tmp_path / "source").open("rb") as source:
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        refuse_where_all_is_in_memory(source.fileno())

    def seen(file: int, buffers: list[memoryview]) -> int:
        direct.append(bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT))
        return real(file, buffers)

    monkeypatch.setattr("os.readv", seen)
    cold = copy(str(tmp_path / "source"), str(tmp_path / "from the disk"), silent)
    was_cold, direct = direct, []
    warm = copy(str(tmp_path / "in memory"), str(tmp_path / "from memory"), silent)

    assert cold == warm == (hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))
    assert (tmp_path / "from the disk").read_bytes() == content
    assert was_cold[0]
    assert not any(direct)


@pytest.mark.parametrize("length", [0, 1, (1 << 16) + 1, LARGE, LARGE + 4097])
def test_a_duplicate_is_the_same(tmp_path: Path, length: int) -> None:
    content = os.urandom(length)
    (tmp_path / "source").write_bytes(content)

    duplicate(str(tmp_path / "source"), str(tmp_path / "duplicate"))

    assert (tmp_path / "duplicate").read_bytes() == content


def test_a_large_duplicate_goes_past_the_page_cache_on_both_sides_however_little_comes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_without_direct_writing(tmp_path / "probe")
    content, real, direct = os.urandom(LARGE + 4097), os.readv, list[bool]()
    (tmp_path / "source").write_bytes(content)

    def odd(file: int, buffers: list[memoryview]) -> int:
        direct.append(bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT))
        # The third is no whole number of blocks, as a network may cut it.
        return real(file, [buffers[0][: 4096 * 1000 if len(direct) < 3 else 5000]])

    monkeypatch.setattr("os.readv", odd)
    duplicate(str(tmp_path / "source"), str(tmp_path / "duplicate"))

    assert (tmp_path / "duplicate").read_bytes() == content
    assert direct[:2] == [True, True]


def test_where_only_the_copy_can_go_past_the_page_cache_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, real = os.urandom(LARGE + 4097), os.open
    (tmp_path / "source").write_bytes(content)

    def no_direct_reading(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & getattr(os, "O_DIRECT", 0) and not flags & os.O_CREAT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return real(path, flags, mode)

    monkeypatch.setattr("os.open", no_direct_reading)
    duplicate(str(tmp_path / "source"), str(tmp_path / "duplicate"))

    assert (tmp_path / "duplicate").read_bytes() == content


@pytest.mark.parametrize("length", [100, LARGE + 4097])
def test_what_becomes_shorter_while_it_is_copied_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    source, real = tmp_path / "source", os.open
    source.write_bytes(b"x" * length)

    def cut(path: str, flags: int, mode: int = 0o777) -> int:
        source.write_bytes(b"x" * (length // 2))
        return real(path, flags, mode)

    # `write_bytes` opens by itself.
    monkeypatch.setattr("os.open", cut)
    with pytest.raises(OSError, match="became shorter"):
        duplicate(str(source), str(tmp_path / "duplicate"))


def refuse_without_direct_writing(probe: Path) -> None:
    if not hasattr(os, "O_DIRECT"):
        pytest.skip("this system has no direct writing")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no direct writing")


def refuse_where_all_is_in_memory(file: int) -> None:
    try:
        os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return
    pytest.skip("this file system keeps everything in memory, or cannot tell")


def test_of_a_file_that_grows_meanwhile_the_copy_is_what_was_hashed(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * LARGE)

    def grow(_: int) -> None:
        if (tmp_path / "source").stat().st_size < 2 * LARGE:
            with (tmp_path / "source").open("ab") as source:
                source.write(b"later" * 100_000)

    found = copy(str(tmp_path / "source"), str(tmp_path / "copy"), grow)

    assert found == digest(str(tmp_path / "copy"), silent)
    assert found[1] > LARGE


def test_where_there_is_no_memory_for_its_pages_no_file_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"x" * LARGE)

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("mmap.mmap", refuse)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        copy(str(tmp_path / "source"), str(tmp_path / "copy"), silent)

    assert len(list(Path("/dev/fd").iterdir())) == before
    assert not (tmp_path / "copy").exists()


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
