# SPDX-License-Identifier: Apache-2.0
"""Which schemas of MLflow's database this installation knows, without opening any database."""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache
from pathlib import Path

_REVISION = re.compile(r"""^revision(?:: str)? = ["']([0-9a-f]+)["']""", re.MULTILINE)


def knows(revision: str) -> bool:
    """Say whether MLflow can open, or upgrade from, this revision of its schema."""
    return revision in _revisions()


@lru_cache(maxsize=1)
def _revisions() -> frozenset[str]:
    # Not by importing: that takes seconds, and only the names of the scripts are asked for.
    found = importlib.util.find_spec("mlflow")
    root = Path(found.origin or "").parent if found else Path()
    scripts = (root / "store" / "db_migrations" / "versions").glob("*.py")
    texts = (script.read_text(encoding="utf-8") for script in scripts)
    return frozenset(match[1] for text in texts if (match := _REVISION.search(text)))
