# SPDX-License-Identifier: Apache-2.0
"""Run: every call writes to the spool and returns; a background thread brings it to MLflow."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from os import PathLike, register_at_fork
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlops.client.errors import BadInputError, NoAnswerError
from mlops.client.hardware import Sampler
from mlops.client.runs import active, apple, checks, ending, filing, modelling
from mlops.client.runs.channel import Channel
from mlops.client.runs.clock import Clock
from mlops.client.runs.hardware import Watch
from mlops.client.runs.modelling import ModelHandle
from mlops.client.spool import Delivery, Outlet
from mlops.client.spool.outlet import generation
from mlops.client.spool.record import END, JOIN, METRICS, PARAMS, TAGS, dumps, pair

log = logging.getLogger("mlops.client")

SHARED = "MLOPS_RUN_SHARED"
DROPPED_TAG = "mlops.dropped_metrics"
_MOST_KEYS = 1000
_ID_WAIT_S = 60.0
_OVER = -1
now_ms = Clock()
_alive: weakref.WeakSet[Run] = weakref.WeakSet()


class Run:
    """One run; safe to use from several threads, and from forked children.

    Example:
        with client.start_run("baseline") as run:
            run.log_params({"depth": 3})
            run.log_metrics({"loss": 0.25}, step=1)
    """

    def __init__(
        self,
        channel: Channel,
        outlet: Outlet,
        ref: str,
        *,
        run_id: str | None = None,
        ends: bool = True,
        nested: bool = False,
    ) -> None:
        self.ref = ref
        self.ends = ends
        self.ended = ""
        self.outer = ""
        self.watch: Watch | None = None
        self._channel = channel
        self._now = outlet
        self._given_id = run_id
        self._nested = nested
        self._born = self._generation = generation()
        self._mutex = threading.Lock()
        self._name = ref.encode()
        self._keys: dict[str, bytes] = {}
        self._params: dict[str, str] = {}
        self._dropped = 0
        _alive.add(self)

    @property
    def project(self) -> str:
        """Return the project."""
        return self._channel.target.project

    @property
    def run_id(self) -> str | None:
        """Return MLflow's id, None while the server has not told it."""
        return self._given_id or self._now.known.runs.get(self.ref)

    @property
    def sampler(self) -> Sampler | None:
        """Return what samples the machine during this run, once it does."""
        return self.watch.sampler if self.watch is not None else None

    def wait_for_id(self, timeout_s: float = _ID_WAIT_S) -> str:
        """Return MLflow's id; NoAnswerError when the server has not told it within *timeout_s*."""
        outlet = self._outlet()
        outlet.hurry()
        outlet.known.wait(lambda: self.run_id is not None, timeout_s)
        found = self.run_id
        if found is None:
            hint = "the run goes on and the server learns of it later; see `mlops spool list`"
            told = outlet.known.away or f"no id within {timeout_s:g} s"
            raise NoAnswerError("run", "wait for its id", told, hint)
        return found

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None, *, at_ms: int | None = None
    ) -> None:
        """Log numbers; NaN and infinities are kept as MLflow keeps them.

        *step* counts whatever the caller counts (0 when not given), *at_ms* is milliseconds since 1970 (now when
        not given). Raises BadInputError, and then none of the numbers is logged.
        """
        outlet = self._now if self._generation == generation() else self._outlet()
        at = now_ms() if at_ms is None else checks.step(at_ms)
        tail = b',"timestamp":%d,"step":%d}' % (at, 0 if step is None else checks.step(step))
        keys = self._keys
        parts = [
            (keys.get(key) or self._key(key)) + checks.number(value, key) + tail
            for key, value in metrics.items()
        ]
        if 0 < len(parts) <= _MOST_KEYS // 4:
            if not outlet.add(METRICS, self._name, len(parts), b",".join(parts)):
                self._drop(outlet, len(parts))
        elif parts and (lost := outlet.add_many(METRICS, self.ref, parts, droppable=True)):
            self._drop(outlet, lost)

    def log_metric(self, key: str, value: Any, step: int | None = None) -> None:
        """Log one number; see `log_metrics`."""
        self.log_metrics({key: value}, step)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log what the run was started with; logging a param again with another value is a BadInputError.

        A value of more than 6000 characters is cut, and the whole of it kept as artifact `long_params/<key>.txt`.
        """
        named = {checks.key(key, "log params"): str(value) for key, value in params.items()}
        with self._mutex:
            for key, value in named.items():
                if self._params.get(key, value) != value:
                    told = f"{key} is {self._params[key][:80]!r} already, not {value[:80]!r}"
                    hint = "a param does not change; log what changes as a metric or a tag"
                    raise BadInputError("run", "log params", told, hint)
            fresh = {key: value for key, value in named.items() if key not in self._params}
            self._params.update(fresh)
        outlet = self._outlet()
        fragments = [pair(key, self._fitting(outlet, key, value)) for key, value in fresh.items()]
        outlet.add_many(PARAMS, self.ref, fragments, droppable=False)

    def log_param(self, key: str, value: Any) -> None:
        """Log one param; see `log_params`."""
        self.log_params({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags, as text; a tag may change. More than 8000 characters are cut."""
        named = {checks.key(key, "set tags"): str(value) for key, value in tags.items()}
        fragments = [
            pair(key, _cut(value, checks.MOST_TAG, "tag", key)) for key, value in named.items()
        ]
        self._outlet().add_many(TAGS, self.ref, fragments, droppable=False)

    def log_apple_silicon_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None
    ) -> None:
        """Log readings of Apple silicon: known ones as `system/…`, other numbers as `apple/…`, the rest as tags."""
        numbers, words = apple.sorted_out(metrics)
        if numbers:
            self.log_metrics(numbers, step)
        if words:
            self.set_tags(words)

    def log_artifact(self, path: str | PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file (or a folder under its name) as it is now, in the folder *artifact_path* of the run."""
        filing.log_path(self._outlet(), self.ref, Path(path), artifact_path, inside=False)

    def log_artifacts(self, folder: str | PathLike[str], artifact_path: str | None = None) -> None:
        """Log the content of a folder as it is now."""
        filing.log_path(self._outlet(), self.ref, Path(folder), artifact_path, inside=True)

    def log_model(
        self,
        model: object,
        name: str = "model",
        *,
        registered_name: str | bool | None = None,
        step: int = 0,
        tags: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ModelHandle:
        """Log a model, and register it when *registered_name* says how (True: under *name*).

        *options* go to `mlops.client.models.save`: flavor, signature, input_example, metadata, apple, ….
        """
        registered = name if registered_name is True else registered_name or ""
        return modelling.log_model(
            self._outlet(),
            self.ref,
            model,
            name,
            registered_name=registered,
            step=step,
            tags=tags or {},
            options=options,
        )

    def environment(self) -> dict[str, str]:
        """Return what a subprocess needs in its environment to log to this run; waits for the run's id."""
        return {**self._channel.environment, "MLFLOW_RUN_ID": self.wait_for_id(), SHARED: "1"}

    def flush(self, timeout_s: float = 60.0) -> Delivery:
        """Wait until everything logged so far is delivered, or *timeout_s* is over; say what is not."""
        return self._outlet().flush(timeout_s)

    def end(self, status: str = "FINISHED", *, flush: bool = True) -> None:
        """End the run: FINISHED, FAILED or KILLED; only the first end counts.

        With *flush* it waits for delivery, at most MLOPS_FLUSH_TIMEOUT_S (30 s), and says what is still spooled.
        """
        with self._mutex:
            if self.ended:
                return
            self.ended = status
        try:
            if self.watch is not None and (summary := self.watch.stop()):
                self.set_tags(summary)
        finally:  # Ctrl-C and SIGTERM may come while the sampler stops
            outlet = self._written_end(status)
        if not flush or self._nested:  # the outer run's end waits for both
            self._channel.release(outlet)
            return
        told = self._channel.close(outlet, ending.flush_timeout_s())
        if told.waiting or told.refused or told.dropped:
            log.warning("mlops: run %s: %s", self.run_id or self.ref, told)

    def _written_end(self, status: str) -> Outlet:
        outlet = self._outlet()
        if self.ends and self._born == generation():
            if self._dropped:
                self._tell_dropped(outlet)
            outlet.add_object(END, self.ref, {"status": status, "at": now_ms()})
        self._generation = _OVER
        active.remove(self)
        ending.unwatch()
        return outlet

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run as its block ended."""
        self.end_after(error)

    def end_after(self, error: BaseException | None, *, flush: bool = True) -> None:
        """End the run as a block ends: FAILED after an error (told in tag `mlops.error`), KILLED when interrupted."""
        if isinstance(error, Exception) and not self.ended:
            told = f"{type(error).__name__}: {error}"
            self.set_tags({"mlops.error": told[:1000]})
        self.end(ending.status_after(error), flush=flush)

    def _outlet(self) -> Outlet:
        """Return where to log; a forked child, and who goes on after the end, get a journal of their own."""
        with self._mutex:
            if self._generation != generation():
                run_id = self.run_id
                outlet = self._channel.open()
                # In this order: who logs without asking here must not come before the JOIN.
                outlet.add_object(JOIN, self.ref, {"run_id": run_id})
                self._now = outlet
                self._generation = generation()
            return self._now

    def _key(self, name: object) -> bytes:
        checks.key(name, "log metrics")
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        made = b'{"key":%b,"value":' % dumps(name)
        self._keys[str(name)] = made
        return made

    def _drop(self, outlet: Outlet, entries: int) -> None:
        with self._mutex:
            first, self._dropped = not self._dropped, self._dropped + entries
        if first:
            self._tell_dropped(outlet)

    def _tell_dropped(self, outlet: Outlet) -> None:
        outlet.add_many(TAGS, self.ref, [pair(DROPPED_TAG, str(self._dropped))], droppable=False)

    def _fitting(self, outlet: Outlet, key: str, value: str) -> str:
        if len(value) <= checks.MOST_PARAM:
            return value
        file = f"long_params/{key}.txt"
        kept = filing.log_text(outlet, self.ref, file, value)
        mark = f"… (cut; {len(value)} characters{f' in artifact {file}' if kept else ''})"
        log.warning("mlops: param %s has %d characters: %s", key, len(value), mark)
        return value[: checks.MOST_PARAM - len(mark)] + mark


def _cut(value: str, most: int, what: str, key: str) -> str:
    if len(value) <= most:
        return value
    log.warning("mlops: %s %s is cut to %d characters", what, key, most)
    return value[: most - 1] + "…"


def _in_child() -> None:
    active.forget()
    for run in _alive:
        run.__dict__["_mutex"] = threading.Lock()
        run.watch = None


register_at_fork(after_in_child=_in_child)
