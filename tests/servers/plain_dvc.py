# SPDX-License-Identifier: Apache-2.0
"""The `dvc` that people have, and the process in which ours runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil

from servers.programs import children_running

DVC = Path(sys.executable).with_name("dvc")


async def dvc(folder: Path, *arguments: str) -> str:
    """Run the command that people have, with none of our settings."""
    own = {"HOME": str(folder.parent), "DVC_SITE_CACHE_DIR": str(folder.parent / "theirs")}
    done = await asyncio.create_subprocess_exec(
        DVC,
        *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "DVC_NO_ANALYTICS": "1", **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await done.communicate()
    assert done.returncode == 0, said.decode()
    return said.decode()


def running_worker() -> psutil.Process:
    [child] = children_running("mlops.versioning.adapters.dvc_worker")
    return child
