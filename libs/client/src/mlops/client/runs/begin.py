# SPDX-License-Identifier: Apache-2.0
"""Begin: a run is new, or the one that the environment names, or somebody else's that is only written to."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from mlops.client.errors import MLOpsClientError, NotFoundError, RefusedError
from mlops.client.mlflow_rest.server import HEARTBEAT
from mlops.client.mlflow_rest.trouble import RefusedByServerError, RunGoneError
from mlops.client.runs import active, checks, ending
from mlops.client.runs.channel import Channel
from mlops.client.runs.run import SHARED, Run, now_ms
from mlops.client.spool import Outlet
from mlops.client.spool.record import JOIN, START

_RUN_ID = "MLFLOW_RUN_ID"
# Connecting may take 2 s and the first answer 5 s; a server known to be away is not waited for.
_FIRST_ANSWER_S = 7.0


def start(
    channel: Channel,
    run_name: str | None,
    tags: Mapping[str, Any] | None,
    *,
    nested: bool = False,
    run_id: str | None = None,
) -> Run:
    """Return a run that goes on until its end: the one named, the environment's, or a new one."""
    named = {checks.key(key, "start run"): str(value) for key, value in (tags or {}).items()}
    if run_id is None and (run_id := os.environ.pop(_RUN_ID, None)):
        # As MLflow does: the next run of this process is another one.
        shared = os.environ.pop(SHARED, "") == "1"
        return _join(channel, run_id, named, ends=not shared, owned=False)
    if run_id is not None:
        return _join(channel, run_id, named, ends=True, owned=True)
    return _new(channel, run_name or "", named, nested=nested)


def attach(channel: Channel, run_id: str) -> Run:
    """Return a run to write to that somebody else ends."""
    return _join(channel, run_id, {}, ends=False, owned=False)


def current(project: str) -> Run | None:
    """Return the innermost open run of a project in this context, else the newest of the process."""
    found = active.current(project)
    return found if isinstance(found, Run) else None


def _new(channel: Channel, name: str, tags: dict[str, str], *, nested: bool) -> Run:
    parent = current(channel.target.project) if nested else None
    ref = uuid.uuid4().hex
    outlet = channel.open()
    at = now_ms()
    content: dict[str, object] = {
        "name": name,
        "at": at,
        "parent": parent.ref if parent else "",
        "tags": {**_own_tags(), HEARTBEAT: f"{at} {outlet.id}", **tags},
    }
    outlet.add_object(START, ref, content)
    run = Run(channel, outlet, ref, nested=parent is not None)
    run.outer = parent.ref if parent else ""
    return _begun(channel, outlet, run)


def _join(channel: Channel, run_id: str, tags: dict[str, str], *, ends: bool, owned: bool) -> Run:
    ref = uuid.uuid4().hex
    outlet = channel.open()
    outlet.add_object(JOIN, ref, {"run_id": run_id, "resume": ends, "owned": owned})
    run = Run(channel, outlet, ref, run_id=run_id, ends=ends)
    beat = {HEARTBEAT: f"{now_ms()} {outlet.id}"} if ends else {}
    if {**beat, **tags}:
        run.set_tags({**beat, **tags})
    return _begun(channel, outlet, run)


def _begun(channel: Channel, outlet: Outlet, run: Run) -> Run:
    known = outlet.known
    try:
        if not known.away:
            outlet.hurry()
            known.wait(
                lambda: run.ref in known.runs or run.ref in known.refused or bool(known.away),
                _FIRST_ANSWER_S,
            )
    except BaseException as error:  # Ctrl-C while it waits: nobody else would end the run
        run.end_after(error, flush=False)
        raise
    if refused := known.refused.get(run.ref):
        channel.close(outlet, 0.0)
        raise _refused(run, refused)
    active.push(run)
    ending.watch()
    return run


def _refused(run: Run, error: RefusedByServerError) -> MLOpsClientError:
    which = run.run_id or "a new run"
    if isinstance(error, RunGoneError):
        hint = "restore it, or start a new run without MLFLOW_RUN_ID and run_id"
        return NotFoundError("tracking", f"join run {which}", error.message or error.code, hint)
    return RefusedError("tracking", f"start {which}", str(error))


def _own_tags() -> dict[str, str]:
    found = {"mlflow.source.type": "LOCAL", "mlflow.source.name": sys.argv[0] if sys.argv else ""}
    with contextlib.suppress(Exception):  # a user without a name is no reason not to start
        found["mlflow.user"] = getpass.getuser()
    return {key: value for key, value in found.items() if value}
