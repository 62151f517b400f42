# SPDX-License-Identifier: Apache-2.0
"""Watch: what a run stands on, data and machine, and what the machine does meanwhile; told by threads of their own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops.client.hardware import Sampler, reader
from mlops.client.hardware.crowd import Crowd
from mlops.client.hardware.effort import Effort
from mlops.client.hardware.neighbours import Neighbours
from mlops.client.system import describe
from mlops.client.system.datasets import dataset_tags, opened

Ask = Callable[[str, Mapping[str, str | float]], Any]
ReadNode = Callable[[], Mapping[str, Any] | None]

EVERY_S = 10.0
_STOP_S = 5.0
_MOST_VERSIONS = 200
_VERSIONS = "/api/v1/query/versioning/versions"
# The runs of this process, whoever began them.
_crowd = Crowd()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crowd.forget)


class Watch:
    """Describes data and machine once, and samples the machine until the run ends."""

    def __init__(
        self,
        log_metrics: Callable[[Mapping[str, float]], None],
        set_tags: Callable[[Mapping[str, str]], None],
        folder: Path,
        home: Path | None,
        project: str,
        ask: Ask | None,
        name: str = "run",
        outer: str = "",
    ) -> None:
        self._log_metrics = log_metrics
        self._set_tags = set_tags
        self._places = folder, home
        self._project = project
        self._ask = ask
        # From now on: what the run does while it is being described is its own, too.
        self._effort = Effort(name, outer, _crowd, Neighbours(), time.monotonic)
        self.sampler: Sampler | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._begin, name="mlops-describe", daemon=True)

    def start(self) -> None:
        """Begin, without making the caller wait."""
        self._thread.start()

    def stop(self) -> dict[str, str]:
        """End; return the summary of the run."""
        self._stopped.set()
        self._thread.join(_STOP_S)
        if self.sampler is None:
            self._effort.end()
            return {}
        return self.sampler.stop()

    def _begin(self) -> None:
        tags = describe(*self._places)
        opened.tell(self._project, tags | self._datasets(), self._set_tags)
        read: ReadNode = _unknown
        if self._ask is not None:
            read = reader(self._ask, tags.get("mlops.system.node"))
        if self._stopped.is_set():
            return  # shorter than its description took
        self.sampler = Sampler(read, self._log_metrics, EVERY_S, effort=self._effort)
        self.sampler.start()

    def _datasets(self) -> dict[str, str]:
        """Return the newest version of each dataset of the project; the platform's own steps have told theirs."""
        if self._ask is None or "MLOPS_DATASETS" in os.environ:
            return {}
        try:
            return dataset_tags(
                self._ask(_VERSIONS, {"project": self._project, "limit": _MOST_VERSIONS})
            )
        except Exception:  # noqa: BLE001 - whatever the platform is about must not disturb a training
            return {}


def _unknown() -> None:
    return None
