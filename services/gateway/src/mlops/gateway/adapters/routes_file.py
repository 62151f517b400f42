# SPDX-License-Identifier: Apache-2.0
"""RoutesFile: the routes that serving told last, in a file of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from mlops.chassis.clock import Clock

# Older ones would send callers to ports that something else may have by now.
_OLDEST = timedelta(hours=1)
_AGAIN = timedelta(minutes=1)


class RoutesFile:
    """One file, replaced as a whole when the routes change, and every minute to say that they still hold."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._noted: Mapping[str, object] = {}
        self._noted_at: datetime | None = None
        self._log = structlog.get_logger("routes")

    def recall(self) -> Mapping[str, object] | None:
        """Return the routes of at most an hour ago."""
        try:
            kept = json.loads(self._path.read_text())
            age = self._clock() - datetime.fromisoformat(kept["told_at"])
            answer = kept["answer"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            self._log.warning("routes.unreadable", path=str(self._path), error=repr(error))
            return None
        if not timedelta(0) <= age <= _OLDEST or not isinstance(answer, dict):
            return None
        self._log.info("routes.recalled", age_s=round(age.total_seconds()))
        return answer

    def note(self, answer: Mapping[str, object]) -> None:
        """Write the routes, if they are new or were written a while ago."""
        now = self._clock()
        is_fresh = self._noted_at is not None and now - self._noted_at < _AGAIN
        if is_fresh and answer == self._noted:
            return
        self._noted, self._noted_at = answer, now
        beside = self._path.with_suffix(".new")
        try:
            beside.write_text(json.dumps({"told_at": now.isoformat(), "answer": dict(answer)}))
            beside.replace(self._path)
        except OSError as error:
            self._log.warning("routes.not_noted", path=str(self._path), error=str(error))
