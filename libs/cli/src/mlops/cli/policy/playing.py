# SPDX-License-Identifier: Apache-2.0
"""Playing: the services' own code replays a history, in processes of its own: the command line imports no service."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops.cli.errors import CliError, InputError
from mlops.cli.policy.trial import Trial
from mlops.cli.progress import Progress

_BRIDGE = "mlops.orchestration_bridge.replay"
_MONITORING = "mlops.monitoring.replay"
_WRONG = 2


@dataclass(frozen=True)
class Asked:
    """A history, and what is to be tried on it."""

    project: str
    file: Path
    trials: Sequence[Trial]
    since: datetime | None = None
    until: datetime | None = None
    settings: str = ""
    lasts: str = ""
    approval: str = ""


def played(asked: Asked, folder: Path, progress: Progress) -> dict[str, Any]:
    """Return what the replay found; *folder* takes windows that are judged again."""
    files: dict[str, Path] = {}
    notes: list[str] = []
    for trial in asked.trials:
        if trial.judged:
            files[trial.name] = _judged(asked, trial, folder, progress, notes)
    policies = [
        {
            "name": one.name,
            "settings": dict(one.settings),
            "file": str(files[one.name]) if one.name in files else None,
        }
        for one in asked.trials
    ]
    words = [str(asked.file), "--project", asked.project, "--policies", json.dumps(policies)]
    result = _ran(_BRIDGE, [*words, *_period(asked), *_assumed(asked)], progress)
    result["notes"] = [*result["notes"], *dict.fromkeys(notes)]
    return result


def _judged(asked: Asked, trial: Trial, folder: Path, progress: Progress, notes: list[str]) -> Path:
    """Return the history with windows judged by the tried settings; one file for the same settings."""
    wanted = json.dumps(trial.judged, sort_keys=True)
    names: list[str] = [
        json.dumps(one.judged, sort_keys=True) for one in asked.trials if one.judged
    ]
    file = folder / f"judged-{names.index(wanted)}.jsonl"
    if not file.exists():
        words = [str(asked.file), str(file), "--project", asked.project, "--set", wanted]
        words += ["--settings", asked.settings] if asked.settings else []
        words += ["--since", asked.since.isoformat()] if asked.since else []
        found = _ran(_MONITORING, words, progress)
        notes += [str(note) for note in found["notes"]]
    return file


def _period(asked: Asked) -> list[str]:
    since = ["--since", asked.since.isoformat()] if asked.since else []
    return since + (["--until", asked.until.isoformat()] if asked.until else [])


def _assumed(asked: Asked) -> list[str]:
    words = ["--settings", asked.settings] if asked.settings else []
    words += ["--lasts", asked.lasts] if asked.lasts else []
    return words + (["--approval", asked.approval] if asked.approval else [])


def _ran(module: str, words: Sequence[str], progress: Progress) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *words]
    result: dict[str, Any] = {}
    # Complaints go to a file: one pipe that nobody reads yet would hold the child, however much it has to say.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as child:
            for line in child.stdout or ():
                said = json.loads(line)
                result = said.get("result", result)
                if "step" in said:
                    progress.tell(str(said["step"]))
        complaints.seek(0)
        complaint = complaints.read()
    if child.returncode == _WRONG:
        what, _, fix = complaint.strip().rpartition("error: ")[2].partition("; ")
        raise InputError(what, fix or "see --help")
    if child.returncode or not result:
        last = complaint.strip().splitlines()[-1:] or [f"it ended with code {child.returncode}"]
        raise CliError(f"the replay failed: {last[0]}", "run it again; `mlops doctor` may help")
    return result
