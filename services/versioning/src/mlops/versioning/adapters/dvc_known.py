# SPDX-License-Identifier: Apache-2.0
"""Known: which content each file of a dataset had when it was last read, so that unchanged files are not read again.

A file counts as unchanged while its size, both its times, its inode and its machine's device are the same; the time
of change (`ctime`) is the kernel's own, so setting the other one back deceives nobody. What was written so shortly
before it was read that a later write could bear the same time is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Signature = tuple[int, int, int, int, int]

_FORMAT = 1
# The clock of file times ticks every 1 to 10 ms; where it tells whole seconds only, it may be two.
TICK_NS = 20_000_000
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000


def signature(stats: os.stat_result) -> Signature:
    """Return what changes when a file changes."""
    return (
        stats.st_size,
        stats.st_mtime_ns,
        stats.st_ctime_ns,
        stats.st_ino,
        stats.st_dev,
    )


@dataclass
class Known:
    """The files of one dataset by their path inside it: signature and address."""

    file: Path
    held: dict[str, tuple[Signature, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str, place: Path) -> Known:
        """Return what is known of the dataset at *place*; nothing when it was never read, is gone, or nothing can be read."""
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        known = cls(Path(folder) / f"{name}.json")
        if not os.path.lexists(place):
            return known
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            read = json.loads(known.file.read_bytes())
            if read["format"] == _FORMAT and read["place"] == os.fspath(place):
                known.held = {
                    rel: (tuple(line[:5]), line[5]) for rel, line in read["files"].items()
                }
        return known

    def oid(self, rel: str, found: Signature) -> str | None:
        """Return the address of a file that has not changed since it was read."""
        entry = self.held.get(rel)
        return entry[1] if entry is not None and entry[0] == found else None

    def replace(
        self, place: Path, files: Mapping[str, tuple[Signature, str]], read_at_ns: int
    ) -> None:
        """Keep *files*, of which the first was read at *read_at_ns*, in the place of what was known."""
        held = {rel: entry for rel, entry in files.items() if _settled(entry[0], read_at_ns)}
        if held == self.held:
            return
        self.held = held
        lines = {rel: [*found, oid] for rel, (found, oid) in held.items()}
        text = json.dumps({"format": _FORMAT, "place": os.fspath(place), "files": lines})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(self.file)


def _settled(found: Signature, read_at_ns: int) -> bool:
    newest = max(found[1], found[2])
    coarse = found[1] % _SECOND_NS == 0 and found[2] % _SECOND_NS == 0
    return newest + (_COARSE_TICK_NS if coarse else TICK_NS) <= read_at_ns
