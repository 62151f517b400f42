# SPDX-License-Identifier: Apache-2.0
"""Nothing is started on a disk on which nothing could be stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.cli.errors import CliError
from mlops.cli.supervisor.disk import require_space


def test_a_full_disk_is_refused_with_the_folder_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="are free on the disk of") as refused:
        require_space(tmp_path, least=10**18)

    assert str(tmp_path) in refused.value.what
    assert "choose another folder with --home" in refused.value.fix


def test_a_disk_with_room_is_fine(tmp_path: Path) -> None:
    require_space(tmp_path, least=1)
