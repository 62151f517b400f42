# SPDX-License-Identifier: Apache-2.0
"""Programs: do the commands of [train], [evaluate] and [federated] name what is there, and can their Python log."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.validation.check import FAILED, PASSED, SKIPPED, Check

if TYPE_CHECKING:
    from mlops.client.project_file import ProjectFile

_ASK_S = 60.0
_SHELL = re.compile(r"[;&|<>$`()*]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PYTHON = re.compile(r"python[\d.]*")
_RUNNERS = ("uv", "poetry", "pdm", "hatch")
_BARE_OPTIONS = ("--no-sync", "--frozen", "--locked", "--no-dev", "--isolated", "--offline", "-q")
_TITLE = "mlflow"
_PROBE = """
import sys
try:
    import mlflow
except ImportError as error:
    try:
        import mlops.client
    except ImportError:
        sys.exit(f"neither mlflow ({error}) nor mlops.client can be imported by {sys.executable}")
    print("mlops.client,", sys.executable)
else:
    print("mlflow " + mlflow.__version__ + ",", sys.executable)
"""


def checks(project: ProjectFile) -> Iterator[Check]:
    """Yield what is found of all commands, and whether the training's Python has something to log with."""
    from mlops.client.steps.command import (  # noqa: PLC0415 - slow to import; help does without
        environment,
    )

    env = environment(os.environ, {})
    settings = project.settings
    for which, command in (
        ("train", settings.train.command),
        ("evaluate", settings.evaluate.command),
    ):
        yield _command(f"[{which}] command", command, project.folder, env)
    together = settings.federated
    if together.command.strip() or together.aggregate.strip():
        yield _together("[federated] command", together.command, project.folder, env)
        yield _together("[federated] aggregate", together.aggregate, project.folder, env)
    # What logs the model is what must be able to.
    logs = settings.train.command.strip() or together.aggregate
    yield _logging(logs, project.folder, env)


def interpreter(words: Sequence[str]) -> list[str] | None:
    """Return how the project's own Python is called, None when the command is none of Python's."""
    if not words:
        return None
    if _PYTHON.fullmatch(Path(words[0]).name):
        return [words[0]]
    if Path(words[0]).name in _RUNNERS and list(words[1:2]) == ["run"]:
        options = [word for word in words[2:] if word in _BARE_OPTIONS]
        return [*words[:2], *options, "python"]
    return None


def _command(title: str, command: str, folder: Path, env: Mapping[str, str]) -> Check:
    if not command.strip():
        return Check(title, SKIPPED, "none")
    if _SHELL.search(command):
        return Check(title, SKIPPED, f"{command}: the shell takes it apart, not looked into")
    try:
        words = _words(command)
    except ValueError as error:
        return Check(title, FAILED, f"{command}: {error}", "close the quotes")
    fix = "install it, or write its path relative to the project's folder"
    program = _found(words[0], folder, env) if words else None
    if program is None:
        return Check(title, FAILED, f"there is no program {words[0] if words else command!r}", fix)
    missing = [word for word in _scripts(words) if not (folder / word).is_file()]
    if missing:
        fix = "write its path relative to the project's folder"
        return Check(title, FAILED, f"there is no {missing[0]} in {folder}", fix)
    return Check(title, PASSED, f"{command}, {program}")


def _together(title: str, command: str, folder: Path, env: Mapping[str, str]) -> Check:
    if command.strip():
        return _command(title, command, folder, env)
    fix = "[federated] needs both: `command` trains on one machine, `aggregate` makes one of what all have learnt"
    return Check(title, FAILED, "none", fix)


def _logging(command: str, folder: Path, env: Mapping[str, str]) -> Check:
    try:
        words = [] if _SHELL.search(command) else _words(command)
    except ValueError:
        words = []
    python = interpreter(words)
    if python is None:
        return Check(_TITLE, SKIPPED, "the training command is not plainly Python's")
    if any(_brings_its_own(folder / script) for script in _scripts(words)):
        return Check(_TITLE, SKIPPED, "the script names its own dependencies")
    return _asked([*python, "-c", _PROBE], folder, env)


def _asked(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Check:
    fix = "add it to the project's dependencies: `uv add mlflow-skinny`"
    try:
        found = subprocess.run(
            command,
            cwd=folder,
            env=dict(env),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"{shlex.join(command[:-2])} did not answer within {_ASK_S:g} s"
        return Check(_TITLE, FAILED, text, "run it once by hand; it may have to install packages")
    except OSError as error:
        return Check(_TITLE, FAILED, f"{command[0]}: {error.strerror}", "install it")
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Check(_TITLE, FAILED, last, fix)
    return Check(_TITLE, PASSED, found.stdout.strip())


def _words(command: str) -> list[str]:
    words = shlex.split(command)
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    return words


def _scripts(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.endswith(".py") and not word.startswith("-")]


def _brings_its_own(script: Path) -> bool:
    try:
        return "\n# /// script" in f"\n{script.read_text(errors='replace')}"
    except OSError:
        return False


def _found(program: str, folder: Path, env: Mapping[str, str]) -> str | None:
    if "/" in program:
        path = folder / program
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None
    return shutil.which(program, path=env.get("PATH"))
