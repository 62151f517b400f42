# SPDX-License-Identifier: Apache-2.0
"""Which path of inference means what: the Open Inference Protocol, and what a model's replica answers beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREDICT = "/api/v1/predict"
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer|/ready)?")
_BESIDE = re.compile(
    r"/models/([^/]+)/([^/]+)(?:/versions/([^/]+))?"
    r"/(predict|invocations|v1/(?:chat/)?completions|v1/models|openapi\.json)"
)
_READ = ("v1/models", "openapi.json")
_SERVER = {
    "/v2": ("server", "GET"),
    "/v2/": ("server", "GET"),
    "/v2/health/live": ("live", "GET"),
    "/v2/health/ready": ("ready", "GET"),
    "/v2/repository/index": ("index", "POST"),
    PREDICT: ("predict", "POST"),
}
_ACTS = {"/infer": ("infer", "POST"), "/ready": ("model_ready", "GET"), None: ("metadata", "GET")}


@dataclass(frozen=True)
class Place:
    """What a path means: which answer, its method, which model (`project` only where the path names it), what behind it."""

    answer: str
    method: str
    model: str = ""
    version: str | None = None
    project: str = ""
    suffix: str = ""


def is_inference(path: str) -> bool:
    """Return whether a path is of inference; whether there is such a path is another question."""
    return path.startswith(("/v2/", "/models/")) or path in ("/v2", PREDICT)


def place_of(path: str) -> Place | None:
    """Return what a path means, or None where it means nothing."""
    if (found := _V2.fullmatch(path)) is not None:
        answer, method = _ACTS[found[3]]
        return Place(answer, method, found[1], found[2], suffix=found[3] or "")
    if path in _SERVER:
        return Place(*_SERVER[path])
    if (found := _BESIDE.fullmatch(path)) is not None:
        method = "GET" if found[4] in _READ else "POST"
        return Place("beside", method, found[2], found[3], found[1], f"/{found[4]}")
    return None
