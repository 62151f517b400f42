# SPDX-License-Identifier: Apache-2.0
"""reader(): the newest sample of one node, as the gateway remembers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

Get = Callable[[str, Mapping[str, str | float]], Any]
ReadNode = Callable[[], Mapping[str, Any] | None]

_OLDEST_S = 60.0
_PAUSE_S = 60.0  # an agent that is not there does not come within seconds


def reader(get: Get, node: str | None, clock: Callable[[], float] = time.monotonic) -> ReadNode:
    """Return a function that asks for the newest sample of *node*; without a node it always says None.

    *get* calls the gateway: path and query parameters in, JSON out; what it raises means that nothing is known.
    """
    asleep_until = clock()

    def read() -> Mapping[str, Any] | None:
        nonlocal asleep_until
        if node is None or clock() < asleep_until:
            return None
        found = newest(_ask(get, node))
        if found is None:
            asleep_until = clock() + _PAUSE_S
        return found

    return read


def newest(view: Any) -> Mapping[str, Any] | None:
    """Return the sample of a node's view, unless it is older than a minute by the gateway's clock."""
    if not isinstance(view, Mapping):
        return None
    sample, age_s = view.get("sample"), view.get("age_s")
    fresh = isinstance(age_s, int | float) and age_s <= _OLDEST_S
    return sample if fresh and isinstance(sample, Mapping) else None


def _ask(get: Get, node: str) -> Any:
    try:
        return get(f"/api/v1/nodes/{quote(node, safe='')}", {})
    except Exception:  # noqa: BLE001 - a gateway that is away must not disturb a training
        return None
