# SPDX-License-Identifier: Apache-2.0
"""Adoption: journals whose writer is gone are delivered by whoever comes next; runs they left open are over."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops.client.mlflow_rest.models import SentModel
from mlops.client.mlflow_rest.server import HEARTBEAT
from mlops.client.mlflow_rest.trouble import AwayError, RefusedByServerError
from mlops.client.spool import segments
from mlops.client.spool.courier import Courier, Server
from mlops.client.spool.lock import Lock
from mlops.client.spool.refused import Refusals
from mlops.client.spool.sent import Sent
from mlops.client.spool.target import Target

Connect = Callable[[Target], Server]
_HALF_MADE_S = 3600
_NAME = re.compile(r"[0-9a-f]{32}")
log = logging.getLogger("mlops.client")


@dataclass(frozen=True)
class Adopted:
    """What became of one journal: delivered and removed, or why not yet."""

    journal: str
    target: Target
    sent: int = 0
    refused: int = 0
    problem: str = ""


class Unheard:
    """Nobody waits to hear of a dead writer's runs."""

    def run_known(self, ref: str, run_id: str) -> None:
        """Take note of nothing."""

    def run_refused(self, ref: str, error: RefusedByServerError) -> None:
        """Take note of nothing."""

    def model_sent(self, key: str, sent: SentModel | RefusedByServerError) -> None:
        """Take note of nothing."""


def journals(spool: Path) -> list[Path]:
    """Return the folders of all journals, oldest first."""
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError), os.scandir(spool) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):  # delivered and removed meanwhile
                    made = os.stat(os.path.join(entry.path, "target.json")).st_mtime  # noqa: PTH116, PTH118 - thousands
                    found.append((made, Path(entry.path)))
    return [folder for _, folder in sorted(found)]


def adopt(
    spool: Path, connect: Connect, wanted: Callable[[Target], bool], deadline: float
) -> Iterator[Adopted]:
    """Deliver the journals of dead writers until *deadline* (monotonic); yield what became of each."""
    _clear_half_made(spool)
    refusals = Refusals(spool)
    for folder in journals(spool):
        target = Target.load(folder)
        if target is None or not wanted(target) or time.monotonic() >= deadline:
            continue
        if not _is_mine(folder):
            told = f"{folder} belongs to another user; let that user run `mlops spool flush`"
            yield Adopted(folder.name, target, problem=told)
            continue
        lock = Lock.take(folder)
        if lock is None:
            continue
        try:
            yield _deliver(folder, target, connect, refusals, deadline)
        finally:
            lock.release()


def _deliver(
    folder: Path, target: Target, connect: Connect, refusals: Refusals, deadline: float
) -> Adopted:
    sent = Sent.load(folder)
    before = sent.delivered, sent.refused
    server = connect(target)
    problem = ""
    try:
        whole = _bring(folder, target, server, sent, refusals, deadline)
        if whole:
            _end_runs(folder, server, sent)
            segments.remove(folder)
        else:
            problem = "the time is over"
    except AwayError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{folder} cannot be read: {error}"
    except Exception as error:
        log.exception("mlops: journal %s is left for later", folder.name)
        problem = f"{type(error).__name__}: {error}"
    finally:
        server.close()
    if problem:
        sent.problem = problem
        sent.save(folder)
    done = sent.delivered - before[0], sent.refused - before[1]
    return Adopted(folder.name, target, *done, problem)


def _bring(
    folder: Path, target: Target, server: Server, sent: Sent, refusals: Refusals, deadline: float
) -> bool:
    courier = Courier(server, sent, target, folder, refusals, Unheard(), look_first=True)
    while (found := segments.read(folder, *sent.position, closed=True)) is not None:
        if time.monotonic() >= deadline:
            return False
        courier.deliver((found.segment, found.offset), found.lines)
        sent.damaged += bool(found.torn)
        sent.segment, sent.offset = found.segment, found.offset
        sent.save(folder)
        courier.finished()
    return True


def _end_runs(folder: Path, server: Server, sent: Sent) -> None:
    """End what the writer has begun and not ended, unless somebody else has gone on with it."""
    last_ms = _last_ms(folder)
    for ref, run_id in sent.open_runs.items():
        if ref in sent.lent:
            continue  # whoever lent it by MLFLOW_RUN_ID says how it ended
        with contextlib.suppress(RefusedByServerError):
            if ref in sent.doubted:
                server.remove_twins(ref, run_id)
            run = server.run(run_id)
            if run.status == "RUNNING" and run.tags.get(HEARTBEAT, "").endswith(folder.name):
                server.set_status(run_id, "KILLED", last_ms)


def _last_ms(folder: Path) -> int:
    times = [0.0]
    for number in segments.numbers(folder):
        with contextlib.suppress(OSError):
            times.append(segments.path(folder, number).stat().st_mtime)
    return int((max(times) or time.time()) * 1000)


def _is_mine(folder: Path) -> bool:
    """Say whether its records may be trusted: they name files to be sent and removed."""
    with contextlib.suppress(OSError):
        found = folder.lstat()
        return found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
    return False


def _clear_half_made(spool: Path) -> None:
    """Remove folders of writers that died while they made them; nothing was logged to those."""
    with contextlib.suppress(OSError):
        for entry in spool.glob(".*"):
            half_made = _NAME.fullmatch(entry.name[1:]) and entry.is_dir() and _is_mine(entry)
            old = half_made and entry.stat().st_mtime < time.time() - _HALF_MADE_S
            lock = Lock.take(entry) if old else None
            if lock is not None:
                shutil.rmtree(entry, ignore_errors=True)
                lock.release()
