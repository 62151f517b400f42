# SPDX-License-Identifier: Apache-2.0
"""History: what the bus has recorded of a project, written to a file that is replayed as often as needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.cli.bus import with_bus
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.progress import Progress

if TYPE_CHECKING:
    from mlops.chassis.bus_nats import NatsBus

# What a policy hears; rows, telemetry and the like would be a thousand times as much.
_TYPES = (
    "project.registered",
    "project.updated",
    "project.archived",
    "drift.detected",
    "performance.measured",
    "performance.degraded",
    "performance.unmeasured",
    "deployment.completed",
    "workflow.queued",
    "workflow.declined",
    "workflow.approved",
    "workflow.started",
    "workflow.completed",
    "workflow.failed",
    "workflow.cancelled",
)
_TOLD_EACH = 2000


def recorded(home: Home, project: str, file: Path, progress: Progress) -> int:
    """Write the history of a project to *file*, one message a line; return how many there are."""

    async def work(bus: NatsBus) -> int:
        count = 0
        with file.open("w", encoding="utf-8") as out:
            async for found in bus.follow(_TYPES, project, live=False):
                out.write(json.dumps(found.envelope) + "\n")
                count += 1
                if count % _TOLD_EACH == 0:
                    progress.tell(f"{count} messages read")
        return count

    count = with_bus(home, work)
    progress.tell(f"{count} messages of {project} read")
    return count


def settings_now(home: Home, project: str) -> str:
    """Return the settings of a project as JSON, empty where nobody can tell them."""
    try:
        with Gateway(home) as gateway:
            found = gateway.query("workspaces", "get", project=project)
    except CliError:
        return ""
    known: dict[str, Any] = found.get("project") or {}
    return json.dumps(known["settings"]) if known.get("settings") else ""


def settings_of(place: Path) -> str:
    """Return the settings that stand in a project's folder, as JSON."""
    from mlops.cli.project import project_here  # noqa: PLC0415 - slow to import

    return project_here(place).settings.model_dump_json()


def checked_file(file: Path) -> Path:
    """Return a file that can be read; InputError says why one cannot."""
    try:
        with file.open(encoding="utf-8"):
            return file
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}", "give what `mlops events tail --json` wrote"
        ) from error
