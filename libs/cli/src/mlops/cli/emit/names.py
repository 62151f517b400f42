# SPDX-License-Identifier: Apache-2.0
"""Names and quantities as Kubernetes and Compose take them."""

from __future__ import annotations

import hashlib
import math
import re

from mlops.cli.emit.deployed import Deployed
from mlops.cli.errors import InputError

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MIB_PER_GIB = 1024
_GROUP = "mlops"


def label_of(found: Deployed, given: str, most: int, reason: str) -> str:
    """Return *given*, or a name made of project and model: a DNS label of at most *most* characters.

    A model's name may hold capitals, dots and underscores; where they are left out, a hash keeps two such names apart.
    """
    name = given or _made(f"{found.project}-{found.model}")
    if not _LABEL.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for it: a-z, 0-9 and -, beginning with a letter",
            "give another one with --name",
        )
    if len(name) > most:
        raise InputError(
            f"the name {name!r} has {len(name)} characters; {reason} at most {most}",
            "give a shorter one with --name",
        )
    return name


def labels(name: str) -> dict[str, str]:
    """Return the labels by which others find what was written here."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "mlops"}


def stamps(found: Deployed) -> dict[str, str]:
    """Return which version this is; a model's name does not fit into a label."""
    return {
        f"{_GROUP}/project": found.project,
        f"{_GROUP}/model": found.model,
        f"{_GROUP}/version": str(found.version),
        f"{_GROUP}/bento-tag": found.bento_tag,
    }


def mebibytes(gib: float) -> int:
    """Return whole MiB, never fewer than asked for."""
    return math.ceil(gib * _MIB_PER_GIB)


def quantity(gib: float) -> str:
    """Return an amount of memory as Kubernetes writes it."""
    return f"{mebibytes(gib)}Mi"


def _made(wanted: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
    name = name if name[:1].isalpha() else f"m-{name}"
    if name == wanted:
        return name
    return f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
