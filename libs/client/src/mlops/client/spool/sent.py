# SPDX-License-Identifier: Apache-2.0
"""Sent: how far a journal is delivered; losing the newest of it only means to deliver something twice, which is harmless."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

_FILE = "sent.json"


@dataclass
class Sent:
    """The position behind the last delivered record, and what the server has told about runs."""

    segment: int = 1
    offset: int = 0
    runs: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    lent: list[str] = field(default_factory=list)
    last_ms: int = 0
    delivered: int = 0
    refused: int = 0
    damaged: int = 0
    dropped: int = 0
    problem: str = ""

    @property
    def position(self) -> tuple[int, int]:
        """Return segment and offset."""
        return self.segment, self.offset

    @property
    def open_runs(self) -> dict[str, str]:
        """Return the runs that this journal has begun (or resumed) and not ended, and the server knows."""
        return {
            ref: self.runs[ref]
            for ref in self.begun
            if ref not in self.ended and self.runs.get(ref)
        }

    def save(self, folder: Path) -> None:
        """Write it; a full or read-only disk is no reason to stop delivering."""
        new = folder / f"{_FILE}.new"
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(asdict(self)), encoding="utf-8")
            os.replace(new, folder / _FILE)  # noqa: PTH105 - half the time of pathlib's, and this is called often

    @classmethod
    def load(cls, folder: Path) -> Sent:
        """Return what is known; nothing when there is no such file, or a damaged one."""
        try:
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            return cls(**{key: found[key] for key in cls.__dataclass_fields__ if key in found})
        except (OSError, ValueError, TypeError):
            return cls()
