# SPDX-License-Identifier: Apache-2.0
"""Refused: what the server will never take, each with the reason; kept until somebody retries or discards it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zlib import crc32

from mlops.client.spool.target import Target

_FILE = "refused.jsonl"
_FOLDER = "refused"


@dataclass(frozen=True)
class Refusal:
    """Entries of one kind of one run, and why they were refused; `kind` is the record's."""

    journal: str
    target: Target
    ref: str
    run_id: str
    kind: str
    body: str
    entries: int
    reason: str
    at_ms: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def id(self) -> str:
        """Return what is the same when it is refused again after a crash."""
        return f"{self.journal}:{crc32(f'{self.ref} {self.kind} {self.body}'.encode()):08x}"


class Refusals:
    """The refusals of one spool folder; several processes may add."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._known: dict[str, set[str]] = {}

    def add(self, refusal: Refusal) -> bool:
        """Keep a refusal; False when it was kept before."""
        known = self._known.get(refusal.journal)
        if known is None:
            known = {one.id for one in self.all() if one.journal == refusal.journal}
            self._known[refusal.journal] = known
        if refusal.id in known:
            return False
        known.add(refusal.id)
        line = json.dumps({**asdict(refusal), "id": refusal.id}).encode() + b"\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(
                self._spool / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        return True

    def keep_files(self, journal_folder: Path, name: str) -> str:
        """Keep a folder of copies that goes with a refusal; return where it is."""
        source = journal_folder / "files" / name
        target = self._spool / _FOLDER / name
        if source.exists():
            with contextlib.suppress(OSError):
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.move(source, target)
        return str(target)

    def all(self) -> list[Refusal]:
        """Return every refusal, oldest first."""
        return list(_read(self._spool / _FILE))

    def take(self) -> list[Refusal]:
        """Return every refusal and forget them: who calls this writes them into a journal again."""
        file = self._spool / _FILE
        taken = file.with_suffix(f".{os.getpid()}.taken")
        try:
            file.rename(taken)
        except FileNotFoundError:
            return []
        found = list(_read(taken))
        taken.unlink()
        self._known.clear()
        return found

    def discard(self) -> int:
        """Remove every refusal with its files; return how many entries that were."""
        entries = sum(one.entries for one in self.take())
        shutil.rmtree(self._spool / _FOLDER, ignore_errors=True)
        return entries


def _read(file: Path) -> Iterator[Refusal]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found = json.loads(line)
            found.pop("id", None)
            yield Refusal(**{**found, "target": Target(**found["target"])})
