# SPDX-License-Identifier: Apache-2.0
"""Refused: what the server will never take, each with the reason; kept until somebody retries or discards it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path

from mlops.client.spool.target import Target

_FILE = "refused.jsonl"
_FOLDER = "refused"
_TAKEN = ".taken"
log = logging.getLogger("mlops.client")


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
        content = f"{self.ref} {self.kind} {self.body}".encode()
        return f"{self.journal}:{blake2b(content, digest_size=8).hexdigest()}"


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
        self.keep(refusal)
        return True

    def keep(self, refusal: Refusal) -> None:
        """Keep a refusal, known or not."""
        line = json.dumps({**asdict(refusal), "id": refusal.id}).encode() + b"\n"
        try:
            descriptor = os.open(
                self._spool / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            told = "mlops: refused and not to be kept (%s): %s of run %s: %s"
            log.warning(told, error, refusal.body[:300], refusal.run_id, refusal.reason)

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
        return _once((*self._taken(), self._spool / _FILE))

    @contextmanager
    def taken(self) -> Iterator[list[Refusal]]:
        """Give every refusal to a block that writes them into a journal; they are forgotten when it is through."""
        file = self._spool / _FILE
        with contextlib.suppress(FileNotFoundError):
            file.rename(file.with_name(f"{_FILE}.{time.time_ns()}{_TAKEN}"))
        files = self._taken()
        yield _once(files)
        for taken in files:
            taken.unlink(missing_ok=True)
        self._known.clear()

    def discard(self) -> int:
        """Remove every refusal with its files; return how many entries that were."""
        with self.taken() as found:
            shutil.rmtree(self._spool / _FOLDER, ignore_errors=True)
        return sum(one.entries for one in found)

    def _taken(self) -> list[Path]:
        # More than one when somebody was killed while trying again.
        return sorted(self._spool.glob(f"{_FILE}.*{_TAKEN}"))


def _once(files: Iterable[Path]) -> list[Refusal]:
    return list({one.id: one for file in files for one in _read(file)}.values())


def _read(file: Path) -> Iterator[Refusal]:
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found = json.loads(line)
                found.pop("id", None)
                yield Refusal(**{**found, "target": Target(**found["target"])})
