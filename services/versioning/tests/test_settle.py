# SPDX-License-Identifier: Apache-2.0
"""What is named is on the disk: each file system is asked once, and one that failed to write says so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlops.versioning.adapters import dvc_settle
from mlops.versioning.adapters.dvc_settle import settle


class Kernel:
    """Counts what it is asked to flush, and may fail."""

    def __init__(self, result: int = 0) -> None:
        self.asked = 0
        self._result = result

    def syncfs(self, _: int) -> int:
        self.asked += 1
        return self._result


def test_a_file_system_is_flushed_once_however_many_folders_lie_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel()
    monkeypatch.setattr(dvc_settle, "_LIBRARY", kernel)
    (tmp_path / "remote").mkdir()

    settle(str(tmp_path), str(tmp_path / "remote"), str(tmp_path / "not there yet"))

    assert kernel.asked == 1


def test_a_disk_that_could_not_take_it_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_settle, "_LIBRARY", Kernel(-1))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as failed:
        settle(str(tmp_path))

    assert failed.value.filename == str(tmp_path)


class Volume:
    """A folder of a system with `F_FULLFSYNC`, whose file system answers each flush with an error, or not."""

    def __init__(self, full: int, plain: int = 0) -> None:
        self.asked: list[str] = []
        self._answers = {"full": full, "plain": plain}

    def fcntl(self, *_: int) -> None:
        self._answer("full")

    def fsync(self, _: int) -> None:
        self._answer("plain")

    def _answer(self, call: str) -> None:
        self.asked.append(call)
        if number := self._answers[call]:
            raise OSError(number, os.strerror(number))


def settled_on(volume: Volume, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_settle, "_LIBRARY", object())
    monkeypatch.setattr(dvc_settle, "_FULL", 51)
    monkeypatch.setattr(dvc_settle, "fcntl", volume)
    monkeypatch.setattr("os.fsync", volume.fsync)
    monkeypatch.setattr("os.sync", lambda: None)
    settle(str(folder))


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
@pytest.mark.parametrize("plain", [0, errno.EINVAL])
def test_a_volume_that_cannot_be_flushed_to_its_disk_is_flushed_as_far_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, plain: int
) -> None:
    volume = Volume(number, plain)

    settled_on(volume, tmp_path, monkeypatch)

    assert volume.asked == ["full", "plain"]


@pytest.mark.parametrize(("full", "plain"), [(errno.EIO, 0), (errno.ENOTSUP, errno.EIO)])
def test_a_volume_that_failed_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: int, plain: int
) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        settled_on(Volume(full, plain), tmp_path, monkeypatch)


def test_a_kernel_without_the_call_flushes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(dvc_settle, "_LIBRARY", Kernel(-1))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.ENOSYS)
    monkeypatch.setattr("os.sync", lambda: flushed.append(True))

    settle(str(tmp_path))

    assert flushed == [True]


# It waits for whatever the machine has still to write.
@pytest.mark.timeout(180)
def test_the_real_one_returns(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")

    settle(str(tmp_path))
