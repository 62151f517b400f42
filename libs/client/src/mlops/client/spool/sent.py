# SPDX-License-Identifier: Apache-2.0
"""Sent: how far a journal is delivered; losing the newest of it only means to deliver something twice, which is harmless."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

_FILE = "sent.json"
_MOST_ENDED = 1000


@dataclass
class Sent:
    """The position behind the last delivered record, and what the server has told about runs."""

    segment: int = 1
    offset: int = 0
    runs: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    lent: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
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
        # Asked by others than the one who delivers, too.
        return {ref: run_id for ref in tuple(self.begun) if (run_id := self.runs.get(ref))}

    def begin(self, ref: str, *, lent: bool = False) -> None:
        """Note that a run is this journal's to end; a lent one only as long as the process lives."""
        if ref not in self.begun:
            self.begun.append(ref)
        if lent and ref not in self.lent:
            self.lent.append(ref)

    def end(self, ref: str) -> None:
        """Note that a run has ended; who is late may still find it among the last thousand."""
        for refs in (self.begun, self.lent, self.ended, self.doubted):
            if ref in refs:
                refs.remove(ref)
        self.ended.append(ref)
        while len(self.ended) > _MOST_ENDED:
            self.runs.pop(self.ended.pop(0), None)

    def save(self, folder: Path, *, durable: bool = False) -> None:
        """Write it; a full or read-only disk is no reason to stop delivering."""
        new = folder / f"{_FILE}.new"
        with contextlib.suppress(OSError):
            with new.open("w", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self)))
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(new, folder / _FILE)  # noqa: PTH105 - half the time of pathlib's, and this is called often

    @classmethod
    def load(cls, folder: Path) -> Sent:
        """Return what is known; nothing when there is no such file, or a damaged one."""
        try:
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            return cls(**{key: found[key] for key in cls.__dataclass_fields__ if key in found})
        except (OSError, ValueError, TypeError):
            return cls()
