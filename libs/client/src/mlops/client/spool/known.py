# SPDX-License-Identifier: Apache-2.0
"""Known: what the server has told so far about runs and models, for those who wait to hear it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mlops.client.mlflow_rest.models import SentModel
from mlops.client.mlflow_rest.trouble import RefusedByServerError


class Known:
    """Told by the sender, asked by everybody else."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.runs: dict[str, str] = {}
        self.refused: dict[str, RefusedByServerError] = {}
        self.models: dict[str, SentModel | RefusedByServerError] = {}
        self.away = ""

    def run_known(self, ref: str, run_id: str) -> None:
        """Tell the id of a run."""
        with self._changed:
            self.runs[ref] = run_id
            self._changed.notify_all()

    def run_refused(self, ref: str, error: RefusedByServerError) -> None:
        """Tell that a run will never be."""
        with self._changed:
            self.refused[ref] = error
            self._changed.notify_all()

    def model_sent(self, key: str, sent: SentModel | RefusedByServerError) -> None:
        """Tell what became of a model."""
        with self._changed:
            self.models[key] = sent
            self._changed.notify_all()

    def told(self, away: str = "") -> None:
        """Tell that something was delivered, or why not."""
        with self._changed:
            self.away = away
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether *until* holds, once it does or the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not until():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
        return True
