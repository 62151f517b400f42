# SPDX-License-Identifier: Apache-2.0
"""Aside: changes of a dataset that no version holds are never lost: they are kept under another name."""

from __future__ import annotations

from pathlib import Path

from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway

IN_THE_WAY = "no version holds"
_MOST = 1000


def put_aside(gateway: Gateway, project: str, dataset: str) -> Path:
    """Move the present content of a dataset to `<name>.local`; InputError when it is not on this machine."""
    content = _place(gateway, project, dataset)
    if not content.exists():
        raise InputError(f"{content} is not on this machine", "do it where the project's folder is")
    free = (content.with_name(f"{content.name}.local{number or ''}") for number in range(_MOST))
    aside = next(place for place in free if not place.exists())
    content.rename(aside)
    return aside


def _place(gateway: Gateway, project: str, dataset: str) -> Path:
    known = gateway.get("/api/v1/projects")["projects"]
    folder = next((one["path"] for one in known if one["project"] == project), "")
    asked = {"project": project, "name": dataset}
    versions = gateway.query("versioning", "versions", **asked).get("versions", [])
    if not folder or not versions:
        raise InputError(
            f"dataset {dataset!r} of {project} is not known", "`mlops data list` shows them"
        )
    return Path(folder, versions[-1]["path"])
