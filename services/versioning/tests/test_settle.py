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


def test_the_real_one_returns(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")

    settle(str(tmp_path))
