# SPDX-License-Identifier: Apache-2.0
"""Applications: one per version that must run; the full set of them is what the replicas are told."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

FULL_CONCURRENCY = 8
FULL_QUEUE = 64


@dataclass(frozen=True)
class App:
    """One version of one model of one project, as it must run.

    *concurrency* is what a replica computes at once, *queue* how many requests may wait for that.
    """

    project: str
    model: str
    version: int
    bento_tag: str
    min_replicas: int = 1
    max_replicas: int = 1
    memory_gb: float = 1.0
    concurrency: int = FULL_CONCURRENCY
    queue: int = FULL_QUEUE

    @property
    def name(self) -> str:
        """Return the application's name; the same version always has the same one."""
        return app_name(self.project, self.model, self.version)

    @property
    def route(self) -> str:
        """Return the path under which it answers."""
        return route_of(self.name)


def app_name(project: str, model: str, version: int) -> str:
    """Return the name of the application of a version."""
    return f"{project}.{model}.v{version}"


def is_ours(name: str) -> bool:
    """Return whether an application of that name is a version's: on a shared cluster others have theirs."""
    return re.fullmatch(r"[^.]+\..+\.v[0-9]+", name) is not None


def route_of(name: str) -> str:
    """Return the path of the application of that name; a model's name may hold dots, a project's cannot."""
    project, _, rest = name.partition(".")
    model, _, version = rest.rpartition(".")
    return f"/{project}/{model}/{version}"


def endpoint(model: str) -> str:
    """Return the path at the gateway under which a model answers."""
    return f"/v2/models/{model}"


def key_of(project: str, model: str) -> str:
    """Return the key of a model's document."""
    return f"{project}.{model}"


def bento_tag(project: str, model: str, version: int, source: str) -> str:
    """Return the tag of a version's Bento: the same for the same content, another for another registry's."""
    return f"{bento_name(project, model)}:{version}-{_short(source)}"


def bento_name(project: str, model: str) -> str:
    """Return the name that all Bentos of a model share, and no other model's."""
    wanted = f"{project}--{model}"
    name = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("-._")[:48]
    return name if name == wanted else f"{name}-{_short(wanted)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
