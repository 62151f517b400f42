# SPDX-License-Identifier: Apache-2.0
"""Health: what `mlops doctor` looks at, one function per check."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mlops.cli import channels
from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import launch, ports
from mlops.cli.supervisor.disk import LEAST_BYTES

OK, WARN, FAIL = "ok", "warn", "fail"
_GIB = 1024**3
_GOOD_DISK = 5 * _GIB
_GOOD_MEMORY = 4 * _GIB
_AIRFLOW = "3.3.2"
_OLDEST_NATS = (2, 12)
_EARLIEST = 1_700_000_000  # a clock before this was never set


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    verdict: str
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as plain JSON values."""
        return asdict(self)


def examine(home: Home, environment: Mapping[str, str]) -> list[Finding]:
    """Return all findings."""
    return [
        _python(),
        _disk(home),
        _memory(),
        _clock(),
        _uv(environment),
        _nats(),
        _airflow(),
        _evidently(),
        _bytecode(environment),
        _ports(home),
        _leftovers(home),
        _credentials(home),
        Finding("alerts", *channels.examine(home.root / "alerts.toml", environment)),
    ]


def _python() -> Finding:
    return Finding("python", OK, f"{platform.python_version()}, {sys.executable}")


def _disk(home: Home) -> Finding:
    folder = next(parent for parent in (home.root, *home.root.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for {home.root}"
    if free < LEAST_BYTES:
        return Finding("disk", FAIL, text, "free some space; the stores cannot be written")
    verdict = OK if free >= _GOOD_DISK else WARN
    return Finding("disk", verdict, text, "" if verdict == OK else "5 GB leave room to work")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    text = f"{free / 1e9:.1f} GB available"
    if free >= _GOOD_MEMORY:
        return Finding("memory", OK, text)
    return Finding(
        "memory", WARN, text, "about 3 GB are used; `mlops up --without evidently` saves 0.3"
    )


def _clock() -> Finding:
    now = time.time()
    text = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now >= _EARLIEST:
        return Finding("clock", OK, text)
    return Finding("clock", FAIL, text, "set the clock: tokens and events carry times")


def _uv(environment: Mapping[str, str]) -> Finding:
    path = shutil.which("uv", path=environment.get("PATH"))
    if path:
        return Finding("uv", OK, path)
    return Finding(
        "uv", WARN, "not on PATH", "call ./mlops (it brings uv): projects' commands use `uv run`"
    )


def _nats() -> Finding:
    path = Path(sys.executable).parent / "nats-server"
    try:
        told_version = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "nats-server", FAIL, str(error), "run ./mlops setup to repair the environment"
        )
    found = told_version.strip().rpartition("v")[2]
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers >= _OLDEST_NATS:
        return Finding("nats-server", OK, found)
    return Finding("nats-server", FAIL, found, "2.12 or newer is needed: run ./mlops setup")


def _airflow() -> Finding:
    return _pinned("apache-airflow", _AIRFLOW, "run ./mlops setup")


def _evidently() -> Finding:
    try:
        pandas, found = version("pandas"), version("evidently")
    except PackageNotFoundError as error:
        return Finding("evidently", FAIL, f"{error} is missing", "run ./mlops setup")
    text = f"{found} with pandas {pandas}"
    if tuple(int(part) for part in pandas.split(".")[:2]) < (3, 1):
        return Finding("evidently", OK, text)
    return Finding(
        "evidently", FAIL, text, "Evidently cannot be imported with pandas 3.1: run ./mlops setup"
    )


def _pinned(name: str, wanted: str, fix: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, FAIL, "not installed", fix)
    return Finding(name, OK if found == wanted else FAIL, found, "" if found == wanted else fix)


def _bytecode(environment: Mapping[str, str]) -> Finding:
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        return Finding(
            "bytecode",
            WARN,
            "PYTHONDONTWRITEBYTECODE is set",
            "unset it: tests and tools start slowly",
        )
    return Finding("bytecode", OK, "written")


def _ports(home: Home) -> Finding:
    if launch.supervisor_pid(home) is not None:
        return Finding("ports", OK, "in use by the running platform")
    wanted = {**ports.PREFERRED, **read_json(home.ports)}
    taken = [f"{name} {port}" for name, port in wanted.items() if not ports.is_free(int(port))]
    if not taken:
        return Finding("ports", OK, "all usual ones are free")
    return Finding(
        "ports",
        WARN,
        f"taken: {', '.join(taken)}",
        "nothing to do: free ports will be used instead",
    )


def _leftovers(home: Home) -> Finding:
    if launch.supervisor_pid(home) is not None:
        return Finding("processes", OK, "a supervisor is running")
    left = launch.left_by(home)
    if not left:
        return Finding("processes", OK, "none left from earlier")
    return Finding(
        "processes",
        WARN,
        f"left from earlier: {sorted(left)}",
        "`mlops down` ends them, `mlops up` too",
    )


def _credentials(home: Home) -> Finding:
    try:
        found = home.credentials.stat()
    except FileNotFoundError:
        return Finding("credentials", OK, "made at the first start")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 == 0 and found.st_uid == os.getuid():
        return Finding("credentials", OK, f"{home.credentials} for its owner only")
    return Finding(
        "credentials",
        FAIL,
        f"{home.credentials} has mode {mode:o}",
        f"chmod 600 {home.credentials}",
    )
