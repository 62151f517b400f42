# SPDX-License-Identifier: Apache-2.0
"""A Bento's Containerfile as text; no container program is needed."""

from __future__ import annotations

from pathlib import Path

import bentoml

# Private: BentoML writes the file only on the way to an image. A test holds it to what is used here.
from bentoml._internal.container import construct_containerfile


def containerfile(tag: str) -> str:
    """Return the Containerfile that builds a Bento's image, from its export unpacked."""
    with construct_containerfile(bentoml.bentos.get(tag), enable_buildkit=False) as (folder, name):
        found: str = (Path(folder) / name).read_text()
        return found
