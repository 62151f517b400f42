# SPDX-License-Identifier: Apache-2.0
"""Stage: a copy of the example project, its own environment, and its place on the platform."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops.cli.checkout import find_checkout
from mlops.cli.demo.door import Door
from mlops.cli.demo.plan import EXAMPLE
from mlops.cli.demo.story import Story
from mlops.cli.errors import CliError
from mlops.cli.home import Home
from mlops.cli.supervisor import processes
from mlops.client.project_file import load_project_file

_PARTS = {"tracking", "versioning", "orchestration_bridge", "serving", "monitoring"}
_KEPT = (".venv", "uv.lock")
_READY_S = 120.0


def prepare(home: Home, name: str) -> Path:
    """Copy the example project into the installation as *name* and make its environment; return the folder."""
    checkout = find_checkout()
    if checkout is None:
        raise CliError(
            "the demo needs the repository's examples/", "run it from a clone of the repository"
        )
    project = home.root / "demo" / name
    project.mkdir(parents=True, exist_ok=True)
    for stale in project.iterdir():
        if stale.name not in _KEPT:
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    source = checkout / "examples" / EXAMPLE
    ignored = shutil.ignore_patterns("*.pyc", "__pycache__", ".venv", "uv.lock", "observations.csv")
    shutil.copytree(source, project, dirs_exist_ok=True, ignore=ignored)
    file = project / "mlops.toml"
    file.write_text(file.read_text().replace(f'name = "{EXAMPLE}"', f'name = "{name}"'))
    _make_environment(project, project_environment(home))
    return project


def free_name(taken: set[str]) -> str:
    """Return the example's name, numbered when earlier demos have used it: each demo begins from nothing."""
    names = (EXAMPLE if number == 1 else f"{EXAMPLE}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def python_of(project: Path) -> Path:
    """Return the Python of the project's own environment."""
    return project / ".venv" / "bin" / "python"


def project_environment(home: Home) -> dict[str, str]:
    """Return this process's environment without what belongs to the platform's own.

    It bears the installation's mark: `mlops down` ends what a killed demo left.
    """
    kept = {
        k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    mark = {processes.HOME_MARK: str(home.root), processes.COMPONENT_MARK: "demo"}
    return {**kept, **mark, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def _make_environment(project: Path, environment: Mapping[str, str]) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise CliError("uv is not on PATH", "start the demo with ./mlops demo, which brings it")
    made = subprocess.run(
        [uv, "sync", "--quiet"],
        cwd=project,
        # Bytecode comes with the first import, of what is imported: of every package it takes longer than a training.
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CliError(
            f"uv sync in {project} failed: {made.stderr.strip()[-1500:]}",
            "the example's packages come from your package registry; check that it can be reached",
        )


async def register(door: Door, name: str, folder: Path, story: Story) -> None:
    """Register the project and wait until every service has made its part."""
    settings = load_project_file(folder).settings
    story.provisioned.clear()
    await door.command(
        "cmd.project.register",
        name,
        {"settings": settings.model_dump(mode="json"), "path": str(folder)},
    )
    await until(
        lambda: story.provisioned >= _PARTS,
        _READY_S,
        lambda: (
            f"not provisioned yet: {', '.join(sorted(_PARTS - story.provisioned))}; {story.refused}"
        ),
    )


async def until(
    condition: Callable[[], bool], seconds: float, what: Callable[[], str], every_s: float = 0.1
) -> None:
    """Wait for a condition; CliError says what did not come."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(every_s)
    except TimeoutError as error:
        raise CliError(
            f"after {seconds:g} s: {what()}",
            "see `mlops status`, `mlops logs` and `mlops events dlq list`",
        ) from error


async def baselines(home: Home, project: Path, first: int, last: int, window: int) -> str:
    """Run the project's baselines at low priority; return what they print."""
    data = project / "data" / "rainfall.csv.xz"
    child = await asyncio.create_subprocess_exec(
        "nice",
        "-n",
        "15",
        str(python_of(project)),
        "baselines.py",
        str(data),
        *(str(number) for number in (first, last, window)),
        cwd=project,
        env=project_environment(home),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        raise CliError(f"baselines.py failed: {err.decode()[-1000:]}")
    return out.decode()
