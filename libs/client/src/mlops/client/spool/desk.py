# SPDX-License-Identifier: Apache-2.0
"""The spool for people: what waits, deliver it now, try again what was refused, throw away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops.client.errors import SpoolError
from mlops.client.spool import segments
from mlops.client.spool.adoption import Adopted, Connect, adopt, journals
from mlops.client.spool.connect import connector
from mlops.client.spool.journal import Journal
from mlops.client.spool.lock import Lock
from mlops.client.spool.outlet import Delivery
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import JOIN, START, decode, dumps, encode
from mlops.client.spool.refused import Refusal, Refusals
from mlops.client.spool.sent import Sent
from mlops.client.spool.target import Target

Progress = Callable[[Adopted], None]
_UNLIMITED = 1 << 60
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class JournalState:
    """One journal: whose it is, and what of it waits."""

    journal: str
    target: Target | None
    writing: bool
    waiting: int
    size_bytes: int
    runs: dict[str, str]
    damaged: int
    dropped: int
    problem: str
    last_at: float


@dataclass(frozen=True)
class Listing:
    """Everything in a spool folder."""

    folder: Path
    journals: tuple[JournalState, ...]
    refused: tuple[Refusal, ...]

    @property
    def waiting(self) -> int:
        """Return how many entries wait."""
        return sum(one.waiting for one in self.journals)


def listing(folder: Path) -> Listing:
    """Return what is in a spool folder; a folder that does not exist is empty."""
    states = tuple(_state(one) for one in journals(folder))
    return Listing(folder, states, tuple(Refusals(folder).all()))


def flush_all(
    folder: Path,
    *,
    timeout_s: float = 3600.0,
    progress: Progress | None = None,
    wanted: Callable[[Target], bool] = lambda _: True,
    connect: Connect | None = None,
) -> Delivery:
    """Deliver what dead processes left; living ones deliver theirs themselves.

    A server that does not answer is tried for some seconds, not for the whole *timeout_s*.
    *progress* hears of each journal. *connect* opens servers; without it the installation here or above and the
    environment say how.
    """
    connect = connect or connector()
    deadline = time.monotonic() + timeout_s
    sent = refused = 0
    reason = ""
    for pause_s in (*_PAUSES_S, 0.0):
        reason = ""
        for done in adopt(folder, connect, wanted, deadline):
            sent, refused = sent + done.sent, refused + done.refused
            reason = done.problem or reason
            if progress is not None:
                progress(done)
        if not reason or time.monotonic() + pause_s > deadline:
            break
        time.sleep(pause_s)
    left = listing(folder)
    dropped = sum(one.dropped for one in left.journals)
    return Delivery(sent, left.waiting, refused, dropped, folder, reason if left.waiting else "")


def retry_refused(folder: Path, journal: str | None = None) -> int:
    """Put refused entries into the spool again (of one journal, or all); return how many; `flush_all` delivers them."""
    refusals = Refusals(folder)
    again: dict[Target, list[Refusal]] = {}
    with refusals.taken() as found:
        for one in found:
            if journal is None or one.journal == journal:
                again.setdefault(one.target, []).append(one)
        count = sum(_write(folder, target, some) for target, some in again.items())
        for one in found:
            if journal is not None and one.journal != journal:
                refusals.keep(one)
    return count


def discard(folder: Path, journal: str) -> int:
    """Throw a dead writer's journal away; return how many entries are lost by it. SpoolError when it is in use."""
    place = folder / journal
    if place not in journals(folder):
        raise SpoolError(
            "spool", f"discard {journal}", f"{folder} has no such journal", "see `mlops spool list`"
        )
    lock = Lock.take(place)
    if lock is None:
        raise SpoolError(
            "spool", f"discard {journal}", "a process still writes to it", "end that process first"
        )
    try:
        lost = _state(place).waiting
        segments.remove(place)
    finally:
        lock.release()
    return lost


def discard_refused(folder: Path) -> int:
    """Throw away what was refused; return how many entries that were."""
    return Refusals(folder).discard()


def _write(folder: Path, target: Target, refused: list[Refusal]) -> int:
    journal = Journal(folder, target, Quota(folder, _UNLIMITED))
    if journal.disk_problem:
        raise SpoolError("spool", "retry", f"{folder} cannot be written: {journal.disk_problem}")
    joined: set[str] = set()
    for one in refused:
        kind, ref = one.kind.encode(), one.ref.encode()
        if kind not in (START, JOIN) and one.ref not in joined and one.run_id:
            journal.append(encode(JOIN, ref, 0, dumps({"run_id": one.run_id})), 0)
        joined.add(one.ref)
        journal.append(encode(kind, ref, one.entries, one.body.encode()), one.entries)
    journal.sync()
    journal.close(remove=False)
    return sum(one.entries for one in refused)


def _state(folder: Path) -> JournalState:
    sent = Sent.load(folder)
    lock = Lock.take(folder)
    if lock is not None:
        lock.release()
    waiting, last = _count(folder, sent)
    return JournalState(
        journal=folder.name,
        target=Target.load(folder),
        writing=lock is None,
        waiting=waiting,
        size_bytes=segments.size_of(folder),
        runs=dict(sent.runs),
        damaged=sent.damaged,
        dropped=sent.dropped,
        problem=sent.problem,
        last_at=last,
    )


def _count(folder: Path, sent: Sent) -> tuple[int, float]:
    waiting, last, position = 0, 0.0, sent.position
    while (found := segments.read(folder, *position, closed=True)) is not None:
        records = (decode(line) for line in found.lines.split(b"\n") if line)
        waiting += sum(one.entries for one in records if one is not None)
        position = found.segment, found.offset
    with contextlib.suppress(OSError):
        last = max(
            segments.path(folder, number).stat().st_mtime for number in segments.numbers(folder)
        )
    return waiting, last if segments.numbers(folder) else 0.0
