# SPDX-License-Identifier: Apache-2.0
"""What stands in a Bento's folder, and whether it is still what was packed.

`src/packed/packed.json` has the digest of each of the model's files; the label `sha256` is the digest of
`src/packed`. So nothing of the two can change unseen.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from mlops.serving.adapters.bento.packed_files import DamagedError, check_files, digests

SOURCE = Path("src") / "packed"
SPEC = "packed.json"
SEAL = "sha256"
MODEL = "model"


def seal_of(source: Path) -> str:
    """Return the digest of a Bento's own source."""
    return hashlib.sha256(json.dumps(digests(source), sort_keys=True).encode()).hexdigest()


def labels_of(bento: Path) -> dict[str, str]:
    """Return a Bento's labels; DamagedError when it has none that can be read."""
    try:
        told = yaml.safe_load((bento / "bento.yaml").read_text())
        labels: dict[str, str] = told["labels"]
        return dict(labels)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DamagedError(f"the bento.yaml of {bento.name} cannot be read: {error!r}") from error


def spec_of(bento: Path) -> dict[str, Any]:
    """Return what a Bento's service is told; DamagedError when that cannot be read."""
    try:
        found: dict[str, Any] = json.loads((bento / SOURCE / SPEC).read_text())
        return dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise DamagedError(f"the {SPEC} of {bento.name} cannot be read: {error!r}") from error


def check(bento: Path, model: Path) -> dict[str, str]:
    """Return the labels of a whole Bento; DamagedError says what is not what was packed."""
    labels = labels_of(bento)
    if labels.get(SEAL) != seal_of(bento / SOURCE):
        raise DamagedError(f"the source of {bento.name} is damaged since it was packed")
    if not (model / "model.yaml").is_file():
        raise DamagedError(f"the model of {bento.name} is gone since it was packed")
    check_files(model / MODEL, spec_of(bento))
    return labels
