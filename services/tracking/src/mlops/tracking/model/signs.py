# SPDX-License-Identifier: Apache-2.0
"""Signs of life: a run is stale when we have listened long enough and it has changed nothing.

Only what we see change counts, timed by our own steady clock. A client's clock may be an hour off: it is never
compared with ours. Time in which nobody could be heard (we were down, asleep, or could not write) does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HEARTBEAT = "mlops.heartbeat"
STALE = "mlops.stale"
RESUMED = "mlops.resumed"
ENDED_BY = "mlops.ended_by"
WORKFLOW = "mlops.workflow_key"

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Limits:
    """How long a run may be silent; *silent_s* 0 never ends a run that does not beat."""

    stale_s: float
    silent_s: float
    gap_s: float


@dataclass(frozen=True)
class Sign:
    """What a RUNNING run has logged by now, as a fingerprint, and when by its client's clock."""

    run_id: str
    mark: str
    beat: str | None
    started_ms: int | None
    last_ms: int | None


@dataclass(frozen=True)
class Heard:
    """How long a run has kept its mark while we listened: in all, and since we last could not listen."""

    mark: str
    silent_s: float = 0.0
    here_s: float = 0.0


@dataclass(frozen=True)
class Stale:
    """A run that is to be ended, and why; *mark* is what it had logged by then, where that is known."""

    run_id: str
    beat: str | None
    last_seen_ms: int | None
    reason: str
    mark: str = ""


@dataclass(frozen=True)
class Watch:
    """What was heard of each run until the last look."""

    heard: Mapping[str, Heard] = field(default_factory=dict)
    looked_s: float | None = None

    def deafened(self) -> Watch:
        """Return the watch after a time in which clients could not be heard."""
        return Watch(self.heard, None)


def look(watch: Watch, signs: Sequence[Sign], now_s: float, limits: Limits) -> Watch:
    """Return the watch after a look at *now_s* of a clock that never jumps."""
    elapsed_s = None if watch.looked_s is None else now_s - watch.looked_s
    if elapsed_s is not None and elapsed_s > limits.gap_s:
        elapsed_s = None
    heard = {sign.run_id: _heard(watch.heard.get(sign.run_id), sign, elapsed_s) for sign in signs}
    return Watch(heard, now_s)


def stale(watch: Watch, signs: Sequence[Sign], limits: Limits) -> list[Stale]:
    """Return the runs that were silent for too long."""
    found = [(sign, _reason(sign, watch.heard[sign.run_id], limits)) for sign in signs]
    return [
        Stale(sign.run_id, sign.beat, sign.last_ms, reason, sign.mark)
        for sign, reason in found
        if reason
    ]


def beat_ms(beat: str | None) -> int | None:
    """Return the time that a heartbeat claims, None where it claims none."""
    first = (beat or "").split(" ", 1)[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) <= 15 else None  # noqa: PLR2004 - beyond it lies no calendar


def end_ms(started_ms: int | None, last_seen_ms: int | None, now_ms: int) -> int:
    """Return when a stale run ended: its last sign of life by its own clock, where that is credible."""
    began = started_ms if started_ms is not None else 0
    if last_seen_ms is None:
        return max(began, 0) if began <= now_ms else now_ms
    return last_seen_ms if began <= last_seen_ms <= now_ms + _DAY_MS else now_ms


def _heard(before: Heard | None, sign: Sign, elapsed_s: float | None) -> Heard:
    if before is None or before.mark != sign.mark:
        return Heard(sign.mark)
    if elapsed_s is None:
        return Heard(sign.mark, before.silent_s, 0.0)
    return Heard(sign.mark, before.silent_s + elapsed_s, before.here_s + elapsed_s)


def _reason(sign: Sign, heard: Heard, limits: Limits) -> str:
    if heard.here_s < limits.stale_s:
        return ""
    if sign.beat is not None:
        return f"no heartbeat for {_span(heard.here_s)}: its process is gone, or cannot reach us"
    if not limits.silent_s or heard.silent_s < limits.silent_s:
        return ""
    return f"nothing logged for {_span(heard.silent_s)} in which we were there to take it"


def _span(seconds: float) -> str:
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.1f} h"
    if seconds >= _MINUTE_S:
        return f"{seconds / _MINUTE_S:.1f} min"
    return f"{seconds:.0f} s"
