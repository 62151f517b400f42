# SPDX-License-Identifier: Apache-2.0
"""Target: where a journal's records go; holds no secret, because it is written beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """An MLflow, the workspace (the project) and the experiment."""

    uri: str
    project: str
    experiment: str

    def save(self, folder: Path) -> None:
        """Write it into a journal's folder."""
        (folder / "target.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Target | None:
        """Return the target of a journal, None when it cannot be read."""
        try:
            found = json.loads((folder / "target.json").read_text(encoding="utf-8"))
            return cls(str(found["uri"]), str(found["project"]), str(found["experiment"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
