# SPDX-License-Identifier: Apache-2.0
"""Outlet: where a process puts its records for one target; one for each, shared by all clients of the process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlops.client.spool.adoption import Connect
from mlops.client.spool.journal import ClosedError, Journal
from mlops.client.spool.known import Known
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import JOIN, encode, encode_many, encode_object
from mlops.client.spool.sender import Sender
from mlops.client.spool.target import Target

log = logging.getLogger("mlops.client")


@dataclass(frozen=True)
class Delivery:
    """What became of entries (metric points, params, tags, files, models, starts and ends of runs).

    `waiting` ones are delivered later: by this process, by the next client here, or by `mlops spool flush`.
    """

    sent: int
    waiting: int
    refused: int
    dropped: int
    folder: Path
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Say whether the server has everything that it will ever take."""
        return self.waiting == 0 and self.dropped == 0

    def __str__(self) -> str:
        """Return it as people read it."""
        told = f"{self.sent} sent"
        if self.waiting:
            why = f" ({self.reason})" if self.reason else ""
            told += (
                f", {self.waiting} still spooled in {self.folder}{why}: the next client here delivers "
                "them, or `mlops spool flush`"
            )
        if self.refused:
            told += f", {self.refused} refused by the server (`mlops spool list` says why)"
        if self.dropped:
            told += f", {self.dropped} dropped because the spool was full or could not be written"
        return told


class Outlet:
    """Takes records and returns at once."""

    def __init__(
        self,
        folder: Path,
        target: Target,
        most_bytes: int,
        connect: Connect,
        make_place: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.target = target
        self.known = Known()
        self._quota = Quota(folder, most_bytes)
        self.journal = Journal(folder, target, self._quota)
        self._parts = (connect, make_place)
        self._sender: Sender | None = None
        self._starting = threading.Lock()
        self._told = False
        if self.journal.disk_problem:
            self._tell(f"{folder} cannot be written ({self.journal.disk_problem})")

    @property
    def id(self) -> str:
        """Return what this writer signs its heartbeats with."""
        return self.journal.id

    def add(self, kind: bytes, ref: bytes, entries: int, body: bytes) -> bool:
        """Keep metrics; False when they had to be dropped."""
        kept = self._append(ref, encode(kind, ref, entries, body), entries, droppable=True)
        if self._sender is None:
            self.start()
        if not kept:
            self._tell(
                f"{self.folder} is full ({self._quota.most_bytes // 1_000_000} MB, MLOPS_SPOOL_MAX_MB); "
                "metrics are dropped and counted until the server takes what waits"
            )
        return kept

    def add_many(self, kind: bytes, ref: str, fragments: list[bytes], *, droppable: bool) -> int:
        """Keep entries in as many lines as it takes; return how many were dropped."""
        dropped = 0
        for line, entries in encode_many(kind, ref.encode(), fragments):
            if not self._append(ref.encode(), line, entries, droppable=droppable):
                dropped += entries
        self.start()
        return dropped

    def add_object(self, kind: bytes, ref: str, content: dict[str, object]) -> None:
        """Keep one record."""
        self._append(ref.encode(), encode_object(kind, ref, content), 1)
        self.start()

    def takes(self, size: int) -> bool:
        """Say whether a file of this size fits, and count it."""
        return self.journal.on_disk and self._quota.takes(size, droppable=False)

    def start(self) -> None:
        """Start the sender, if it is not."""
        with self._starting:
            if self._sender is None:
                sender = Sender(self.journal, self._quota, self.known, *self._parts)
                try:
                    sender.start()
                except RuntimeError as error:  # no more threads, or the interpreter ends
                    self._tell(f"{error}; what is logged waits in {self.folder}")
                    return
                self._sender = sender

    def hurry(self) -> None:
        """Deliver now."""
        self.start()
        if self._sender is not None:
            self._sender.hurry()

    def is_away(self) -> bool:
        """Say whether the server did not answer lately."""
        return bool(self.known.away)

    def flush(self, timeout_s: float) -> Delivery:
        """Wait until everything logged so far is delivered, or the time is over."""
        deadline = time.monotonic() + timeout_s
        self.start()
        sender, wanted = self._sender, self.journal.written
        if sender is None:
            return self.delivery()
        while sender.processed < wanted and time.monotonic() < deadline:
            if not sender.is_alive():
                break
            sender.hurry()
            left = min(1.0, deadline - time.monotonic())
            self.known.wait(lambda: sender.processed >= wanted, left)
        self.journal.sync()
        return self.delivery()

    def delivery(self) -> Delivery:
        """Return how things stand."""
        sent = self.journal.sent
        processed = self._sender.processed if self._sender else 0
        waiting = max(0, self.journal.written - processed)
        return Delivery(
            sent=max(0, sent.delivered),
            waiting=waiting,
            refused=sent.refused,
            dropped=self.journal.dropped,
            folder=self.folder,
            reason=self.known.away if waiting else "",
        )

    def adopt(self) -> None:
        """Let the sender look for what dead writers left."""
        if self._sender is not None:
            self._sender.adopt_now()

    def close(self, timeout_s: float) -> Delivery:
        """Flush, end the sender, and leave to others what is not delivered."""
        told = self.flush(timeout_s)
        sender, journal = self._sender, self.journal
        if sender is not None and not sender.stop(min(5.0, max(1.0, timeout_s))):
            return told  # it still talks to the server; the journal is its own until it has ended
        journal.save()
        lost = journal.close(remove=told.waiting == 0)
        return replace(told, waiting=max(0, told.waiting - lost), dropped=told.dropped + lost)

    def forget(self) -> None:
        """Leave everything to the parent, in a forked child."""
        self.journal.forget()

    def _append(self, ref: bytes, line: bytes, entries: int, *, droppable: bool = False) -> bool:
        try:
            return self.journal.append(line, entries, droppable=droppable)
        except ClosedError:
            self._reopen()
            join = encode_object(JOIN, ref.decode(), {"run_id": self.known.runs.get(ref.decode())})
            self.journal.append(join, 1)
            return self.journal.append(line, entries, droppable=droppable)

    def _reopen(self) -> None:
        """Go on in a journal of its own: a thread logs while another has closed this outlet."""
        with self._starting:
            if self.journal.closed:
                self.journal = Journal(self.folder, self.target, self._quota)
                self._sender = None

    def _tell(self, problem: str) -> None:
        if not self._told:
            self._told = True
            log.warning("mlops: %s", problem)


_open: dict[tuple[Path, Target], Outlet] = {}
_users: dict[tuple[Path, Target], int] = {}
_guard = threading.Lock()
_generation = 0


def generation() -> int:
    """Return a number that changes in every forked child."""
    return _generation


def open_outlet(
    folder: Path,
    target: Target,
    most_bytes: int,
    connect: Connect,
    make_place: Callable[[], None] | None = None,
) -> Outlet:
    """Return the process's outlet for a target, made now if there is none."""
    with _guard:
        key = (folder, target)
        if key not in _open:
            _open[key] = Outlet(folder, target, most_bytes, connect, make_place)
        _users[key] = _users.get(key, 0) + 1
        return _open[key]


def close_outlet(outlet: Outlet, timeout_s: float) -> Delivery:
    """Give an outlet back; the last one to do so closes it."""
    key = (outlet.folder, outlet.target)
    with _guard:
        mine = _open.get(key) is outlet
        if mine:
            _users[key] = _users.get(key, 1) - 1
    told = outlet.flush(timeout_s)
    with _guard:
        # Somebody may have opened it again meanwhile, or closed it.
        if not mine or _open.get(key) is not outlet or _users.get(key, 0) > 0:
            return told
        del _open[key]
        _users.pop(key, None)
    return outlet.close(0.0)


def release_outlet(outlet: Outlet) -> None:
    """Give an outlet back without waiting; it goes on delivering, and is closed at the end of the process."""
    with _guard:
        key = (outlet.folder, outlet.target)
        if _open.get(key) is outlet:
            _users[key] = _users.get(key, 1) - 1
    outlet.hurry()


def close_all(timeout_s: float) -> list[Delivery]:
    """Close every outlet of the process, within one time for all of them."""
    deadline = time.monotonic() + timeout_s
    with _guard:
        found = list(_open.values())
        _open.clear()
        _users.clear()
    return [outlet.close(max(0.0, deadline - time.monotonic())) for outlet in found]


def _in_child() -> None:
    global _guard, _generation  # noqa: PLW0603 - a forked child has locks that nobody will ever release
    _guard = threading.Lock()
    _generation += 1
    for outlet in _open.values():
        outlet.forget()
    _open.clear()
    _users.clear()


os.register_at_fork(after_in_child=_in_child)
