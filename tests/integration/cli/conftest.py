# SPDX-License-Identifier: Apache-2.0
"""The command line, pointed at a home of its own; whatever a test started is stopped and looked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops.cli.home import Home
from mlops.cli.supervisor import launch, processes


@dataclass(frozen=True)
class Platform:
    """The command line, pointed at a home of its own."""

    home: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "MLOPS_HOME"}
        return subprocess.run(
            [sys.executable, "-m", "mlops.cli", "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
            cwd=self.home.parent,
        )

    def up(self, *components: str) -> None:
        started = self.run("up", "--only", ",".join(components))
        assert started.returncode == 0, started.stderr

    def status(self, component: str) -> dict[str, Any]:
        found = json.loads(self.run("status", "--json").stdout)
        components: dict[str, dict[str, Any]] = {
            one["component"]: one for one in found["components"]
        }
        return components[component]

    def processes(self) -> set[int]:
        return processes.belonging(processes.scan(), home=str(self.home))

    @property
    def supervisor(self) -> int | None:
        return launch.supervisor_pid(Home(self.home))


@pytest.fixture
def platform(tmp_path: Path, leaves_nothing: None) -> Iterator[Platform]:  # noqa: ARG001 - it looks last
    found = Platform(tmp_path / "home")
    yield found
    found.run("down")
    shutil.rmtree(Home(found.home).short, ignore_errors=True)
    assert found.processes() == set()


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.1)
