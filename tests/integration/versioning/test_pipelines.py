# SPDX-License-Identifier: Apache-2.0
"""What people's own pipelines make and push becomes versions, with real DVC, with git and without."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.contracts.versioning import RestoreData
from servers.versioning import Versioning

pytestmark = pytest.mark.timeout(240)

PIPELINE = """
stages:
  prep:
    wdir: work
    cmd: python -c "import shutil; shutil.copytree('../raw', 'out', dirs_exist_ok=True); open('m.json', 'w').write('{}')"
    deps:
    - ../raw
    outs:
    - out
    metrics:
    - m.json:
        cache: false
"""
# One process for several commands: most of what they cost is the start.
DVC = "import sys; from dvc.cli import main\nfor one in sys.argv[1:]:\n    assert main(one.split()) == 0, one"


async def run(folder: Path, *command: str) -> None:
    """Run a program as people have it, with none of our settings."""
    own = {"HOME": str(folder.parent), "DVC_SITE_CACHE_DIR": str(folder.parent / "theirs")}
    python = str(Path(sys.executable).parent)
    done = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": f"{python}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await done.communicate()
    assert done.returncode == 0, said.decode()


async def dvc(folder: Path, *commands: str) -> None:
    await run(folder, sys.executable, "-c", DVC, *commands)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pipeline(folder: Path) -> Path:
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "work").mkdir()
    (folder / "raw").mkdir()
    (folder / "raw" / "days.csv").write_text("1\n")
    return folder


async def test_what_a_pipeline_makes_is_versioned_and_comes_back(
    versioning: Versioning, pipeline: Path
) -> None:
    await dvc(pipeline, "repro -q")
    made = await versioning.looks(3)
    await dvc(pipeline, "push -q")
    [first] = await versioning.looks(10)
    (pipeline / "raw" / "days.csv").write_text("22\n")
    await dvc(pipeline, "repro -q", "push -q")
    [second] = await versioning.looks(10)
    record = (pipeline / "dvc.lock").read_text()

    await versioning.tell(RestoreData(project="rain", name="out", version=1))
    restored = (pipeline / "work" / "out" / "days.csv").read_text()
    await versioning.tell(RestoreData(project="rain", name="out", version=2))

    assert made == []
    assert (first.name, first.version, first.path) == ("out", 1, "work/out")
    assert (first.stage, first.files, first.size_bytes) == ("prep", 1, 2)
    assert (second.version, second.parent_version) == (2, 1)
    assert restored == "1\n"
    assert (pipeline / "work" / "out" / "days.csv").read_text() == "22\n"
    assert names(pipeline / "work") == ["m.json", "out"]
    assert (pipeline / "dvc.lock").read_text() == record
    assert await versioning.looks(3) == []


async def test_a_pipeline_in_a_git_repository_is_seen_too(
    versioning: Versioning, pipeline: Path
) -> None:
    await run(pipeline, "git", "init", "-q")
    (pipeline / ".dvc" / "config").write_text("")  # as DVC has it in a repository

    await dvc(pipeline, "repro -q", "push -q")
    [told] = await versioning.looks(3)

    assert (told.path, told.stage) == ("work/out", "prep")
