# SPDX-License-Identifier: Apache-2.0
"""Home: the folder that holds everything of one installation, and what stands where in it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = ".mlops"
_LONGEST_BASE = 14


@dataclass(frozen=True)
class Home:
    """`$MLOPS_HOME`; every path the command and the supervisor agree on."""

    root: Path

    @property
    def endpoints(self) -> Path:
        """Return the file of addresses."""
        return self.root / "endpoints.json"

    @property
    def credentials(self) -> Path:
        """Return the file of secrets."""
        return self.root / "credentials.json"

    @property
    def ports(self) -> Path:
        """Return the file of ports, kept between starts."""
        return self.root / "ports.json"

    @property
    def settings(self) -> Path:
        """Return the file in which people say what runs beyond the usual."""
        return self.root / "settings.json"

    @property
    def state(self) -> Path:
        """Return the file in which the supervisor tells what runs."""
        return self.root / "supervisor.json"

    @property
    def lock(self) -> Path:
        """Return the file that a running supervisor holds locked."""
        return self.root / "supervisor.lock"

    @property
    def logs(self) -> Path:
        """Return the folder of log files."""
        return self.root / "logs"

    @property
    def short(self) -> Path:
        """Return a short private folder for unix sockets: their paths may have about 100 characters.

        A long temporary folder (macOS has one for each user) is passed over for the common one.
        """
        name = hashlib.sha256(f"{os.getuid()}:{self.root}".encode()).hexdigest()[:10]
        base = Path(tempfile.gettempdir())
        if len(str(base)) > _LONGEST_BASE:
            base = Path("/tmp")  # noqa: S108 - the folder made in it is private, see the caller
        return base / f"mlops-{name}"

    def log(self, component: str) -> Path:
        """Return the log file of a component."""
        return self.logs / f"{component}.log"


def find_home(given: Path | None, environment: Mapping[str, str], folder: Path) -> Home:
    """Return the home that was given, or is in MLOPS_HOME, or lies in *folder* or the nearest parent with one."""
    if given is not None:
        return Home(given.expanduser().resolve())
    if environment.get("MLOPS_HOME"):
        return Home(Path(environment["MLOPS_HOME"]).expanduser().resolve())
    for parent in (folder, *folder.parents):
        if (parent / FOLDER).is_dir():
            return Home((parent / FOLDER).resolve())
    return Home((folder / FOLDER).resolve())


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty when the file is missing or holds no object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: Mapping[str, Any], mode: int = 0o644) -> None:
    """Replace a file in one step: readers see the old content or the new one, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
        beside.chmod(mode)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
