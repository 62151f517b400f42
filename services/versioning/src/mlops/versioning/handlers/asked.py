# SPDX-License-Identifier: Apache-2.0
"""The versions that a wish names, or the refusal that says which there are."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from mlops.chassis.errors import RejectedError
from mlops.contracts.versioning import DataVersioned
from mlops.versioning import model
from mlops.versioning.model import Version
from mlops.versioning.ports import Registry, Versions

# Work on one project is done one at a time.
Turns = defaultdict[str, asyncio.Lock]

_MOST_SHOWN = 20
_LONGEST_STAGE = 256


async def versions_of(versions: Versions, project: str, name: str) -> list[Version]:
    """Return the versions of a dataset, oldest first; RejectedError when there are none."""
    known = await versions.known(project, name)
    if not known:
        names = sorted({version.name for version in await versions.known(project)})
        raise RejectedError(
            f"project {project!r} has no dataset {name!r}; "
            f"it has: {', '.join(names[:_MOST_SHOWN]) or 'none yet'}"
        )
    return known


async def version_of(versions: Versions, project: str, name: str, number: int) -> Version:
    """Return one version of a dataset; RejectedError when it has none of that number."""
    known = await versions_of(versions, project, name)
    version = model.meant(known, number, None)
    if version is None:
        raise RejectedError(f"dataset {name!r} has no version {number}; it has {_numbers(known)}")
    return version


async def chosen_of(registry: Registry, project: str, name: str, wanted: str) -> Version:
    """Return the version that *wanted* says: a number, an alias, or nothing for the newest."""
    known = await versions_of(registry, project, name)
    aliases = await registry.aliases(project, name)
    version = model.chosen(known, aliases, wanted or model.LATEST)
    if version is None:
        names = [model.LATEST, *(alias.alias for alias in aliases)]
        raise RejectedError(
            f"dataset {name!r} has no version or alias {wanted!r}; "
            f"it has {_numbers(known)} and {', '.join(names)}"
        )
    return version


def facts(version: Version) -> dict[str, object]:
    """Return what every event about a version says."""
    return {
        "project": version.project,
        "name": version.name,
        "version": version.version,
        "hash": version.content.oid,
        "size_bytes": version.content.size_bytes,
        "files": version.content.files,
        "path": version.path,
    }


def versioned(version: Version) -> DataVersioned:
    """Return the event that says a version is stored."""
    return DataVersioned(
        **facts(version),
        remote=version.remote,
        parent_version=version.parent,
        run_id=version.run_id,
        stage=version.stage[:_LONGEST_STAGE],
    )


def _numbers(known: Sequence[Version]) -> str:
    shown = ", ".join(str(version.version) for version in known[-_MOST_SHOWN:])
    return shown if len(known) <= _MOST_SHOWN else f"{known[0].version} to {known[-1].version}"
