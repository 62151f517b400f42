# SPDX-License-Identifier: Apache-2.0
"""WatchedProbe: any probe, read on its own thread in bounded time; one that hangs or crashes stops no other.

It is asked at most once per `every_s`. Between two looks, and while a look hangs, the last values are told again;
after two intervals without a fresh one they are missing as `stale`. A probe that raises is `failed`, and asked again
after pauses that grow. What adds up (joules, events) is told once, then as 0, or it would be counted again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from mlops.telemetry_agent.model.reading import FAILED, STALE, Partial, Value
from mlops.telemetry_agent.ports import TelemetryProbe

_WAIT_S = 0.2
_STALE_INTERVALS = 2.0
_SHORTEST_INTERVAL_S = 5.0
_PAUSES_S = (2.0, 5.0, 15.0, 60.0, 300.0)
_ADDS_UP = ("_j", "_delta")


@dataclass(frozen=True)
class Chosen:
    """A probe, how often it is worth asking, and the fields that are missing when it never answers."""

    probe: TelemetryProbe
    every_s: Callable[[], float] = lambda: 0.0
    gives: tuple[str, ...] = ()


@dataclass
class _Look:
    """One look under way; the thread fills it in, and nobody waits for it longer than agreed."""

    at_s: float
    done: threading.Event
    partial: Partial | None = None
    error: str = ""


class WatchedProbe:
    """See the module; `gives` names the fields that are missing when the probe never answered."""

    def __init__(
        self,
        probe: TelemetryProbe,
        *,
        every_s: Callable[[], float] = lambda: 0.0,
        gives: Iterable[str] = (),
        wait_s: float = _WAIT_S,
    ) -> None:
        self.name = probe.name
        self._probe = probe
        self._every_s = every_s
        self._gives = frozenset(gives) | frozenset(getattr(probe, "gives", ()))
        self._wait_s = wait_s
        self._look: _Look | None = None
        self._held: Partial | None = None
        self._held_at_s = 0.0
        self._failures = 0
        self._not_before_s = float("-inf")
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ask(self, at_s: float) -> None:
        """Begin a look if one is due, and do not wait: so that all probes look at the same time."""
        if self._look is None and at_s >= self._not_before_s:
            self._begin(at_s)

    def read(self, at_s: float) -> Partial:
        """Return fresh values if they come soon enough, else the last ones while they are not stale."""
        late = self._look is not None and self._look.at_s < at_s
        fresh = self._collected()
        if fresh is None and not late:
            self.ask(at_s)
            fresh = self._collected(self._wait_s)
        return self._again(at_s) if fresh is None else fresh

    def close(self) -> None:
        """Let the probe go, unless it hangs: then it ends with the process."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._wait_s)
        if self._thread is None or not self._thread.is_alive():
            self._probe.close()

    def _begin(self, at_s: float) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name=f"probe-{self.name}", daemon=True
            )
            self._thread.start()
        self._look = _Look(at_s, threading.Event())
        self._wake.set()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            look = self._look
            if self._closed:
                return
            if look is None or look.done.is_set():
                continue
            try:
                look.partial = self._probe.read(look.at_s)
            except Exception as error:  # noqa: BLE001 - drivers raise what they like; the others must go on
                look.error = repr(error)
            look.done.set()

    def _collected(self, wait_s: float = 0.0) -> Partial | None:
        look = self._look
        if look is None or not look.done.wait(wait_s):
            return None
        self._look = None
        if look.partial is None:
            self._failed(look)
            return None
        self._held, self._held_at_s, self._failures = look.partial, look.at_s, 0
        self._not_before_s = look.at_s + self._every_s() - 1e-3
        # What is held was told now: what adds up must not be told again.
        self._held = replace(
            look.partial, values={n: _spent(n, v) for n, v in look.partial.values.items()}
        )
        return look.partial

    def _failed(self, look: _Look) -> None:
        pause = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        if self._failures == 0:
            structlog.get_logger("telemetry").warning(
                "probe.failed", probe=self.name, error=look.error, again_in_s=pause
            )
        self._failures += 1
        self._not_before_s = look.at_s + pause
        known = frozenset(self._held.values) | frozenset(self._held.missing) if self._held else ()
        self._gives |= frozenset(known)
        self._held = None

    def _again(self, at_s: float) -> Partial:
        patience = _STALE_INTERVALS * max(self._every_s(), _SHORTEST_INTERVAL_S)
        if self._held is not None and at_s - self._held_at_s <= patience:
            return self._held
        if self._held is not None:
            gone = {
                *self._held.values,
                *self._held.missing,
                *(("gpus",) if self._held.gpus else ()),
            }
            return Partial(self.name, missing=dict.fromkeys(sorted(gone), STALE))
        reason = FAILED if self._failures else STALE
        return Partial(self.name, missing=dict.fromkeys(sorted(self._gives), reason))


def _spent(name: str, value: Value) -> Value:
    if isinstance(value, bool | str) or not name.endswith(_ADDS_UP):
        return value
    return type(value)(0)
