# SPDX-License-Identifier: Apache-2.0
"""Courier: brings the records of one journal to one server, in order; what is refused is set aside, nothing is skipped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, Protocol

from mlops.client.mlflow_rest.models import PackedModel, SentModel
from mlops.client.mlflow_rest.server import HEARTBEAT
from mlops.client.mlflow_rest.state import NewRun, RunState
from mlops.client.mlflow_rest.trouble import (
    AwayError,
    FaultError,
    LostAnswerError,
    RefusedByServerError,
    RunGoneError,
)
from mlops.client.spool import batch, record
from mlops.client.spool.batch import Batch
from mlops.client.spool.record import Record
from mlops.client.spool.refused import Refusal, Refusals
from mlops.client.spool.sent import Sent
from mlops.client.spool.target import Target
from mlops.client.spool.trash import Trash

_PARENT = "mlflow.parentRunId"
_RECOVERED = "mlops.recovered"
_YIELD_EVERY = 64
_FAULTS = 8
_REFUSED_RUN = ""
_OUTSIDE_PREFIX = "mlops-model-"
# A creation whose answer was lost may still happen for so long; only then it is tried again.
SETTLE_S = 5.0
_TWINS_S = 60.0


class Server(Protocol):
    """What a courier needs of MLflow; each call may be repeated. Raises AwayError, RefusedByServerError."""

    def create_run(self, run: NewRun) -> str: ...  # noqa: D102 - see MlflowServer
    def find_run(self, ref: str) -> str | None: ...  # noqa: D102
    def remove_twins(self, ref: str, run_id: str) -> None: ...  # noqa: D102
    def run(self, run_id: str) -> RunState: ...  # noqa: D102
    def log_batch(self, body: bytes) -> None: ...  # noqa: D102
    def set_status(self, run_id: str, status: str, ended_ms: int | None = None) -> None: ...  # noqa: D102
    def resume(self, run_id: str) -> None: ...  # noqa: D102
    def upload(self, run_id: str, path: str, file: Path) -> None: ...  # noqa: D102
    def log_model(self, run_id: str, model: PackedModel) -> SentModel: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class News(Protocol):
    """Who wants to know what became of runs and models."""

    def run_known(self, ref: str, run_id: str) -> None: ...  # noqa: D102
    def run_refused(self, ref: str, error: RefusedByServerError) -> None: ...  # noqa: D102
    def model_sent(self, key: str, sent: SentModel | RefusedByServerError) -> None: ...  # noqa: D102


class Courier:
    """Delivers one journal; a call that ends with AwayError goes on there the next time."""

    def __init__(
        self,
        server: Server,
        sent: Sent,
        target: Target,
        folder: Path,
        refusals: Refusals,
        news: News,
        *,
        look_first: bool = False,
    ) -> None:
        self._server = server
        self._sent = sent
        self._target = target
        self._folder = folder
        self._refusals = refusals
        self._news = news
        self._look_first = look_first
        self._lost: dict[str, float] = {}
        self._made_at: dict[str, float] = {}
        self._key: object = None
        self._steps: list[Batch | Record] = []
        self._at = 0
        self._faults = 0
        self._damaged = 0
        self._trash = Trash()

    def deliver(self, key: object, lines: bytes) -> None:
        """Deliver the lines that *key* stands for; AwayError when the server is, and everything before is done."""
        if key != self._key:
            self._damaged = 0
            self._steps, self._at, self._key = list(batch.plan(self._records(lines))), 0, key
        while self._at < len(self._steps):
            self._step(self._steps[self._at])
            self._at += 1
            self._faults = 0
            time.sleep(0)  # lets a thread that logs go first

    def finished(self) -> None:
        """Count what was delivered, and remove its files, now that the journal remembers it."""
        for step in self._steps:
            self._sent.delivered += step.entries
        self._sent.damaged += self._damaged
        self._trash.empty()
        self._key, self._steps, self._at = None, [], 0

    def beat(self, writer: str) -> None:
        """Tell the server that the open runs are alive."""
        value = f"{int(time.time() * 1000)} {writer}"
        for ref, run_id in self._sent.open_runs.items():
            with contextlib.suppress(RefusedByServerError):
                tag = record.pair(HEARTBEAT, value)
                self._server.log_batch(batch.request(run_id, {record.TAGS: tag}))
                if time.monotonic() > self._made_at.get(ref, 0.0) + _TWINS_S:
                    self._settle(ref, run_id)

    def _records(self, lines: bytes) -> Iterator[Record]:
        for number, line in enumerate(lines.split(b"\n")):
            if number % _YIELD_EVERY == 0:
                time.sleep(0)
            if not line:
                continue
            found = record.decode(line)
            if found is None:
                self._damaged += 1
            else:
                yield found

    def _step(self, step: Batch | Record) -> None:
        try:
            if isinstance(step, Batch):
                self._log(step)
            else:
                self._single(step)
        except FaultError as error:
            self._faults += 1
            if self._faults < _FAULTS or not self._is_to_blame(step):
                raise
            self._refuse_step(step, RefusedByServerError("INTERNAL_ERROR", str(error)))
        except RefusedByServerError as error:
            self._refuse_step(step, error)

    def _single(self, one: Record) -> None:
        actions: dict[bytes, Callable[[Record], None]] = {
            record.START: self._start,
            record.JOIN: self._join,
            record.END: self._end,
            record.ARTIFACT: self._artifact,
            record.MODEL: self._model,
        }
        action = actions.get(one.kind)
        if action is None:
            raise RefusedByServerError("UNKNOWN_RECORD", "a newer client wrote it; update this one")
        action(one)

    def _start(self, one: Record) -> None:
        told = _told(one)
        ref = one.ref
        self._sent.begin(ref)
        run_id = self._sent.runs.get(ref)
        if not run_id and (self._look_first or ref in self._lost):
            run_id = self._server.find_run(ref)
        if not run_id:
            tags = {str(key): str(value) for key, value in told["tags"].items()}
            parent = told.get("parent")
            if parent and (parent_id := self._parent(str(parent))):
                tags[_PARENT] = parent_id
            run_id = self._created(NewRun(ref, str(told["name"]), int(told["at"]), tags))
        self._know(ref, run_id)

    def _created(self, run: NewRun) -> str:
        """Make a run; a lost answer is waited for, and who made it before may show up later as its twin."""
        ref = run.ref
        if time.monotonic() < self._lost.get(ref, -SETTLE_S) + SETTLE_S:
            raise AwayError(f"the run {run.name or ref} may be made by now; its answer was lost")
        if (self._look_first or ref in self._lost) and ref not in self._sent.doubted:
            self._sent.doubted.append(ref)
        try:
            run_id = self._server.create_run(run)
        except LostAnswerError:
            self._lost[ref] = time.monotonic()
            raise
        self._lost.pop(ref, None)
        self._made_at[ref] = time.monotonic()
        return run_id

    def _settle(self, ref: str, run_id: str) -> None:
        if ref in self._sent.doubted:
            self._server.remove_twins(ref, run_id)
            self._sent.doubted.remove(ref)
        self._made_at.pop(ref, None)

    def _join(self, one: Record) -> None:
        told = _told(one)
        run_id = told.get("run_id")
        if not run_id:
            run_id = self._sent.runs.get(one.ref) or self._server.find_run(one.ref)
            if run_id is None:
                raise AwayError(f"the run {one.ref} is not known to {self._target.uri} yet")
            self._know(one.ref, run_id)
            return
        if told.get("resume"):
            self._server.resume(run_id)
            self._sent.begin(one.ref, lent=not told.get("owned"))
        elif self._server.run(run_id).deleted:
            raise RunGoneError("INVALID_PARAMETER_VALUE", f"run {run_id} is deleted")
        self._know(one.ref, str(run_id))

    def _end(self, one: Record) -> None:
        told = _told(one)
        run_id = self._run_id(one.ref)
        self._settle(one.ref, run_id)
        self._server.set_status(run_id, str(told["status"]), int(told["at"]))
        self._sent.end(one.ref)

    def _artifact(self, one: Record) -> None:
        told = _told(one)
        file = self._file(told)
        if not file.is_file():
            raise RefusedByServerError("FILE_MISSING", f"{file} is no longer there")
        try:
            self._server.upload(self._run_id(one.ref), str(told["path"]), file)
        except (FileNotFoundError, PermissionError) as error:
            raise RefusedByServerError("FILE_UNREADABLE", str(error)) from error
        if file.is_relative_to(self._folder.parent):
            self._trash.add(file)

    def _model(self, one: Record) -> None:
        told = _told(one)
        folder = self._file(told)
        if not folder.is_dir():
            raise RefusedByServerError("FILE_MISSING", f"{folder} is no longer there")
        model = PackedModel(
            key=str(told["id"]),
            name=str(told["name"]),
            folder=folder,
            registered_name=str(told.get("registered_name", "")),
            model_type=str(told.get("model_type", "")),
            tags=told.get("tags", {}),
            step=int(told.get("step", 0)),
        )
        self._news.model_sent(model.key, self._server.log_model(self._run_id(one.ref), model))
        spooled = folder.is_relative_to(self._folder.parent)
        if spooled or folder.parent.name.startswith(_OUTSIDE_PREFIX):
            self._trash.add(folder)

    def _log(self, step: Batch) -> None:
        run_id = self._run_id(step.ref)
        try:
            self._server.log_batch(step.request(run_id))
        except RunGoneError:
            raise
        except RefusedByServerError:
            self._apart(step, run_id)

    def _apart(self, step: Batch, run_id: str) -> None:
        """Find the entries that are refused; all others are logged."""

        def send(singles: list[tuple[bytes, bytes]]) -> str | None:
            try:
                self._server.log_batch(batch.request_of(run_id, singles))
            except (RefusedByServerError, FaultError) as error:
                return str(error)
            return None

        def refuse(single: tuple[bytes, bytes], reason: str) -> None:
            self._keep(step.ref, single[0], single[1], 1, reason)

        batch.bisect(step.singles(), send, refuse)

    def _is_to_blame(self, step: Batch | Record) -> bool:
        """Say whether the server takes other things for the same run, so that this one is what it fails at."""
        run_id = self._sent.runs.get(step.ref)
        if not isinstance(step, Batch) or not run_id:
            return False
        tag = record.pair("mlops.client_probe", str(int(time.time())))
        self._server.log_batch(batch.request(run_id, {record.TAGS: tag}))
        self._apart(step, run_id)
        step.parts.clear()
        return True

    def _refuse_step(self, step: Batch | Record, error: RefusedByServerError) -> None:
        if isinstance(step, Batch):
            for kind, bodies in step.parts.items():
                for body in bodies:
                    self._keep(step.ref, kind, body, len(record.entries_of(body)), str(error))
            return
        if step.kind in (record.START, record.JOIN):
            self._sent.runs[step.ref] = _REFUSED_RUN
            self._news.run_refused(step.ref, error)
        body = step.body
        if step.kind == record.MODEL:
            self._news.model_sent(str(step.content().get("id")), error)
        if step.kind in (record.ARTIFACT, record.MODEL):
            body = self._kept_files(step)
        self._keep(step.ref, step.kind, body, 1, str(error))

    def _kept_files(self, step: Record) -> bytes:
        told = step.content()
        if told.get("in_place") or not _is_inside(str(told.get("file", ""))):
            return step.body
        place = self._refusals.keep_files(self._folder, str(told["file"]))
        return record.dumps({**told, "file": place, "in_place": True})

    def _keep(self, ref: str, kind: bytes, body: bytes, entries: int, reason: str) -> None:
        refusal = Refusal(
            journal=self._folder.name,
            target=self._target,
            ref=ref,
            run_id=self._sent.runs.get(ref, ""),
            kind=kind.decode(),
            body=body.decode(),
            entries=entries,
            reason=reason,
        )
        if self._refusals.add(refusal):
            self._sent.refused += entries
            self._sent.delivered -= entries

    def _run_id(self, ref: str) -> str:
        found = self._sent.runs.get(ref)
        if found == _REFUSED_RUN and found is not None:
            raise RunGoneError("RESOURCE_DOES_NOT_EXIST", "its run was refused")
        if found is None:
            found = self._server.find_run(ref) or self._recovered(ref)
            self._know(ref, found)
        return found

    def _recovered(self, ref: str) -> str:
        """Make a run for records whose start or join was damaged: nothing of them is lost, and nothing waits for it."""
        at = int(time.time() * 1000)
        self._sent.begin(ref)
        tags = {
            _RECOVERED: "the record of its start was damaged",
            HEARTBEAT: f"{at} {self._folder.name}",
        }
        return self._created(NewRun(ref, f"recovered-{ref[:8]}", at, tags))

    def _parent(self, parent: str) -> str | None:
        known = self._sent.runs.get(parent)
        if known is not None:
            return known or None
        found = self._server.find_run(parent)
        if found is None:
            raise AwayError(f"the run {parent} is not known to {self._target.uri} yet")
        return found

    def _know(self, ref: str, run_id: str) -> None:
        self._sent.runs[ref] = run_id
        self._news.run_known(ref, run_id)

    def _file(self, told: dict[str, object]) -> Path:
        place = str(told["file"])
        if told.get("in_place"):
            return Path(place)
        if not _is_inside(place):
            raise RefusedByServerError("BAD_RECORD", f"{place} is no file of the journal")
        return self._folder / "files" / place


class _Told(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise RefusedByServerError("BAD_RECORD", f"it has no {key}")


def _told(one: Record) -> dict[str, Any]:
    """Return the content of a record; RefusedByServerError when it is not what it should be."""
    try:
        return _Told(one.content())
    except (ValueError, TypeError) as error:
        raise RefusedByServerError("BAD_RECORD", str(error)) from error


def _is_inside(place: str) -> bool:
    parts = PurePath(place)
    return bool(parts.parts) and not parts.is_absolute() and ".." not in parts.parts
