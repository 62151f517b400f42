# SPDX-License-Identifier: Apache-2.0
"""The newest version of each dataset of the project, as tags of a run that begins now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "mlops.dataset."
_MOST = 64


def dataset_tags(answer: Any) -> dict[str, str]:
    """Return `mlops.dataset.<name>` = `<version>@<hash>` from what versioning answers; nothing from anything else."""
    versions = answer.get("versions") if isinstance(answer, Mapping) else None
    newest: dict[str, tuple[int, str]] = {}
    for one in versions if isinstance(versions, list) else ():
        try:
            found = int(one["version"]), str(one["hash"])
            name = str(one["name"])
        except (KeyError, TypeError, ValueError):
            continue
        newest[name] = max(found, newest.get(name, found))
    pairs = sorted(newest.items())[:_MOST]
    return {f"{PREFIX}{name}": f"{version}@{hash_}" for name, (version, hash_) in pairs}
