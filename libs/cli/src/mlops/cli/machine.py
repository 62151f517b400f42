# SPDX-License-Identifier: Apache-2.0
"""Machine: which real servers and tools are here for the tests, and what the tests are told of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ASK_S = 10
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Tool:
    """One thing that some tests want; `env` is what they are told when it is there."""

    name: str
    there: bool
    detail: str
    env: Mapping[str, str] = field(default_factory=dict)


def look(root: Path, environment: Mapping[str, str]) -> list[Tool]:
    """Return what this machine has."""
    return [
        _program("nats-server"),
        _program("uv"),
        _docker(),
        _captures(root, environment),
        _program("npm"),
        _browser(),
    ]


def environment(found: Sequence[Tool], caller: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the tests."""
    told = {name: value for tool in found if tool.there for name, value in tool.env.items()}
    programs = str(Path(sys.executable).parent)
    kept = {name: value for name, value in caller.items() if name != "MLOPS_HOME"}
    return {
        # Three tests run at a time and start servers: threads of every library for all processors only wait for each other.
        **dict.fromkeys(_ONE_THREAD, "1"),
        **kept,
        **told,
        "PATH": f"{programs}{os.pathsep}{caller.get('PATH', '')}",
    }


def _program(name: str) -> Tool:
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    return Tool(name, path is not None, path or "not on PATH")


def _docker() -> Tool:
    if shutil.which("docker") is None:
        return Tool(
            "Docker engine",
            there=False,
            detail="no docker program; packaged binaries are used instead",
        )
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Tool("Docker engine", there=False, detail=f"{error}")
    answer = asked.stdout.strip()
    if asked.returncode == 0 and answer:
        return Tool("Docker engine", there=True, detail=answer, env={"MLOPS_DOCKER": "1"})
    why = (asked.stderr.strip().splitlines() or ["no engine answers"])[-1]
    return Tool("Docker engine", there=False, detail=f"{why}; packaged binaries are used instead")


def _captures(root: Path, environment: Mapping[str, str]) -> Tool:
    given = environment.get("MLOPS_CAPTURES")
    folders = (
        [Path(given)]
        if given
        else [root / "shared" / "captures", root.parent / "shared" / "captures"]
    )
    for folder in folders:
        if folder.is_dir():
            return Tool(
                "hardware captures",
                there=True,
                detail=str(folder),
                env={"MLOPS_CAPTURES": str(folder)},
            )
    return Tool(
        "hardware captures", there=False, detail="set MLOPS_CAPTURES to a folder of recordings"
    )


def _browser() -> Tool:
    for name in _BROWSERS:
        if path := shutil.which(name):
            return Tool("chromium", there=True, detail=path, env={"MLOPS_CHROMIUM": path})
    return Tool("chromium", there=False, detail="not on PATH")
