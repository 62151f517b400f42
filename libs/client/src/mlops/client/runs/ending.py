# SPDX-License-Identifier: Apache-2.0
"""Ending: SIGTERM and interpreter exit end the open runs as killed; nobody else's signal handler is touched."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from types import FrameType

from mlops.client.runs import active
from mlops.client.spool import close_all

_DEFAULT_FLUSH_S = 30.0
_SIGTERM_STATUS = 128 + int(signal.SIGTERM)
_state = {"watching": False, "owner": 0}


def flush_timeout_s() -> float:
    """Return how long an end waits for the server: `MLOPS_FLUSH_TIMEOUT_S`, 30 s when it is not a number."""
    try:
        return max(0.0, float(os.environ.get("MLOPS_FLUSH_TIMEOUT_S", _DEFAULT_FLUSH_S)))
    except ValueError:
        return _DEFAULT_FLUSH_S


def watch() -> None:
    """See that an open run is ended when the process is, politely."""
    if _state["owner"] != os.getpid():
        _state["owner"] = os.getpid()
        atexit.register(_at_exit, os.getpid())
    mine = threading.current_thread() is threading.main_thread()
    if mine and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def unwatch() -> None:
    """Give SIGTERM back when no run is open."""
    mine = threading.current_thread() is threading.main_thread()
    if mine and not active.all_open() and signal.getsignal(signal.SIGTERM) is _terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def status_after(error: BaseException | None) -> str:
    """Return how a run ends whose block ended with *error*."""
    if error is None:
        return "FINISHED"
    if isinstance(error, SystemExit):
        return "FINISHED" if error.code in (None, 0) else "KILLED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_SIGTERM_STATUS)


def _at_exit(owner: int) -> None:
    if owner != os.getpid():
        return
    for run in active.all_open():
        try:
            run.end("KILLED", flush=False)
        except Exception as error:  # noqa: BLE001 - the others are to be ended too, and all to be delivered
            active_log(f"a run could not be ended: {error}")
    for told in close_all(flush_timeout_s()):
        if told.waiting or told.refused or told.dropped:
            active_log(str(told))


def active_log(told: str) -> None:
    """Say it where people look when a program ends."""
    import sys  # noqa: PLC0415 - at the end of the interpreter logging may be gone

    if sys.stderr is not None:
        sys.stderr.write(f"mlops: {told}\n")
