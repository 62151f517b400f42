# SPDX-License-Identifier: Apache-2.0
"""Counters: what a replica was asked, has answered and computed since its start, and on which machine."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops.contracts.latency import Latencies
from mlops.serving.adapters.keeper import private_bytes

_SHED, _FAILED = 429, 500
_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Counters:
    """Counts of one replica; they only grow. *now* tells what waits, and what was dropped so far."""

    def __init__(
        self, spec: Mapping[str, Any], now: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._now = now
        self._about = {"model": spec["model"], "version": spec["version"]}
        self._replica = uuid.uuid4().hex[:16]
        self._node_file = Path(spec["home"]) / "state" / "telemetry_agent" / "node_id"
        self._node = ""
        self._busy_s = 0.0
        self._busy_lock = threading.Lock()
        self.answered = 0
        self.requests = 0
        self.errors = 0
        self.shed = 0
        self.latencies = Latencies()
        self.total_ms = 0.0

    def count(self, status: int, took_ms: float) -> None:
        """Count one request for the model, and how long its answer took; one that was shed took no time."""
        self.requests += 1
        self.errors += status >= _FAILED
        if status == _SHED:
            self.shed += 1
        else:
            self.latencies.add(took_ms)
            self.total_ms += took_ms

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count the time of one prediction."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._busy_lock:  # several threads compute
                self._busy_s += time.perf_counter() - began

    def report(self) -> dict[str, Any]:
        """Return the counters as serving hears them."""
        return {
            **self._about,
            "replica": self._replica,
            "node": self._where(),
            "answered": self.answered,
            "busy_s": round(self._busy_s, 6),
            "cpu_s": round(time.process_time(), 6),
            "accelerated": uses_accelerator(),
            "requests": self.requests,
            "errors": self.errors,
            "shed": self.shed,
            "latencies": self.latencies.as_json(),
            "memory_bytes": private_bytes(),
            **self._now(),
        }

    def _where(self) -> str:
        # The agent may begin after the replica.
        if not self._node:
            self._node = node_here(self._node_file)
        return self._node


def node_here(file: Path) -> str:
    """Return the name by which this machine's agent speaks, empty where there is none."""
    told = os.environ.get("TELEMETRY_AGENT_NODE", "")
    if not told:
        try:
            told = file.read_text(errors="replace").strip()
        except OSError:
            return ""
    return told if _NODE.fullmatch(told) else ""


def uses_accelerator() -> bool:
    """Return whether this process computes on a GPU, by what it has loaded; nothing is loaded to find out."""
    torch, mlx = sys.modules.get("torch"), sys.modules.get("mlx.core")
    if torch is not None:
        cuda = getattr(torch, "cuda", None)
        if cuda is not None and cuda.is_initialized():
            return True
        mps = getattr(torch, "mps", None)
        if mps is not None and hasattr(mps, "current_allocated_memory") and _mps_holds(torch):
            return True
    metal = getattr(mlx, "metal", None)
    return metal is not None and bool(metal.is_available())


def _mps_holds(torch: Any) -> bool:
    available = torch.backends.mps.is_available()
    return bool(available and torch.mps.current_allocated_memory() > 0)
