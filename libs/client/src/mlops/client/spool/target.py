# SPDX-License-Identifier: Apache-2.0
"""Target: where a journal's records go; holds no secret, because it is written beside them."""

from __future__ import annotations

import json
import os
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
        with (folder / "target.json").open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())  # without it a power failure would leave records for nobody

    @classmethod
    def load(cls, folder: Path) -> Target | None:
        """Return the target of a journal, None when it cannot be read."""
        try:
            found = json.loads((folder / "target.json").read_text(encoding="utf-8"))
            return cls(str(found["uri"]), str(found["project"]), str(found["experiment"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
