# SPDX-License-Identifier: Apache-2.0
"""Forecast: seconds until a machine throttles and until it is cool, from a model of its heat that is fitted as it runs.

One thermal node, dT/dt = a P - b T + c, fitted by recursive least squares to the samples of that machine; the limit is
the coolest temperature at which it was seen throttled, or what its own margin says. A machine without thermometer is
judged by the lengths of its earlier episodes. Where there is too little of either the answer is None with the reason,
never a guess. A sample that is missing something, or too far from the one before, leaves the fit as it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from mlops.orchestration_bridge.model.least_squares import Estimate

HOT_LEVEL = 2
LEAST_SAMPLES = 12
LEAST_EPISODES = 2
LONGEST_S = 3600.0
_GAP_S = (0.5, 120.0)
_MOST_STEP = 3.0  # degrees per second; a sensor that jumps further is not believed at once
_WATTS, _DEGREES, _OFFSET = 20.0, 30.0, 50.0
_RATES = (1e-4, 0.5)
_SMOOTH = 0.3
_NO_LIMIT = "it was never seen throttled, so its limit is not known"


@dataclass(frozen=True)
class Errors:
    """How far earlier words were off, or how long earlier episodes were: a running mean."""

    count: int = 0
    mean_s: float = 0.0

    def with_one(self, seconds: float) -> Errors:
        """Return the record with one more, whichever way it went."""
        count = self.count + 1
        return Errors(count, self.mean_s + (abs(seconds) - self.mean_s) / count)

    @property
    def known_s(self) -> float | None:
        """Return the mean so far, None before the first."""
        return self.mean_s if self.count else None


@dataclass(frozen=True)
class Seen:
    """What one sample says of the heat; None where the machine cannot tell."""

    at_s: float
    level: int
    power_w: float | None = None
    temp_c: float | None = None
    margin_c: float | None = None
    busy: bool | None = None

    @property
    def hot(self) -> bool:
        """Return whether it is slowed down."""
        return self.level >= HOT_LEVEL


@dataclass(frozen=True)
class Turns:
    """One kind of turn of the heat: how long it took so far, what was last promised, and how far that was off."""

    took: Errors = Errors()
    off: Errors = Errors()
    promised_s: float | None = None

    def happened(self, at_s: float, since_s: float | None) -> Turns:
        """Return the record after the turn came at *at_s*."""
        took = self.took if since_s is None else self.took.with_one(at_s - since_s)
        off = self.off if self.promised_s is None else self.off.with_one(at_s - self.promised_s)
        return Turns(took, off)


@dataclass(frozen=True)
class Fit:
    """Everything the forecast knows of one machine."""

    model: Estimate = field(default_factory=Estimate)
    last: Seen | None = None
    load_w: float | None = None
    limit_c: float | None = None
    cool_c: float | None = None
    busy_since_s: float | None = None
    hot_since_s: float | None = None
    onset: Turns = field(default_factory=Turns)
    cooling: Turns = field(default_factory=Turns)


@dataclass(frozen=True)
class Forecast:
    """Seconds from now; None where nothing can be said, and `reason` says why.

    `never` when it would not throttle at its usual load at all. Errors are means of how far earlier words were off.
    """

    throttle_s: float | None = None
    cool_s: float | None = None
    throttle_error_s: float | None = None
    cool_error_s: float | None = None
    never: bool = False
    reason: str = ""


def learnt(fit: Fit, seen: Seen) -> Fit:
    """Return the fit after one more sample; one from before the last changes nothing."""
    if fit.last is not None and seen.at_s <= fit.last.at_s:
        return fit
    later = replace(_bounded(fit, seen), model=_corrected(fit, seen), load_w=_load(fit, seen))
    return _promised(replace(_turned(later, seen), last=seen))


def forecast(fit: Fit, now_s: float) -> Forecast:
    """Return what is to be expected from *now_s* on, by the fit as it was at its last sample."""
    found, since_s = _expected(fit), max(0.0, now_s - fit.last.at_s) if fit.last else 0.0
    return replace(
        found,
        throttle_s=None if found.throttle_s is None else max(0.0, found.throttle_s - since_s),
        cool_s=None if found.cool_s is None else max(0.0, found.cool_s - since_s),
        throttle_error_s=fit.onset.off.known_s,
        cool_error_s=fit.cooling.off.known_s,
    )


def _corrected(fit: Fit, seen: Seen) -> Estimate:
    last = fit.last
    if last is None or last.temp_c is None or seen.temp_c is None:
        return fit.model
    powers = [power for power in (last.power_w, seen.power_w) if power is not None]
    gap_s = seen.at_s - last.at_s
    if not powers or not _GAP_S[0] <= gap_s <= _GAP_S[1]:
        return fit.model
    middle_c = (last.temp_c + seen.temp_c) / 2
    row = (sum(powers) / len(powers) / _WATTS, (middle_c - _OFFSET) / _DEGREES, 1.0)
    return fit.model.corrected(row, (seen.temp_c - last.temp_c) / gap_s, _MOST_STEP)


def _load(fit: Fit, seen: Seen) -> float | None:
    """Return the power it usually draws at work; what it draws at rest heats nobody."""
    if seen.power_w is None or seen.busy is False:
        return fit.load_w
    if fit.load_w is None:
        return seen.power_w
    return fit.load_w + _SMOOTH * (seen.power_w - fit.load_w)


def _bounded(fit: Fit, seen: Seen) -> Fit:
    if seen.temp_c is None:
        return fit
    if seen.hot:
        limit_c = seen.temp_c if fit.limit_c is None else min(fit.limit_c, seen.temp_c)
        return replace(fit, limit_c=limit_c)
    if seen.margin_c is not None and seen.margin_c > 0:
        fit = replace(fit, limit_c=seen.temp_c + seen.margin_c)
    return replace(fit, cool_c=seen.temp_c) if fit.hot_since_s is not None else fit


def _turned(fit: Fit, seen: Seen) -> Fit:
    if seen.hot and fit.hot_since_s is None:
        onset = fit.onset.happened(seen.at_s, fit.busy_since_s)
        return replace(fit, onset=onset, hot_since_s=seen.at_s, busy_since_s=None)
    if not seen.hot and fit.hot_since_s is not None:
        cooling = fit.cooling.happened(seen.at_s, fit.hot_since_s)
        began_s = None if seen.busy is False else seen.at_s
        return replace(fit, cooling=cooling, hot_since_s=None, busy_since_s=began_s)
    if (
        seen.hot
    ):  # it can cool from when the load is over: what was said before that was about something else
        still = fit.cooling if not seen.busy else replace(fit.cooling, promised_s=None)
        return replace(fit, cooling=still)
    if seen.busy is False:
        rested = replace(fit.onset, promised_s=None)
        return replace(fit, busy_since_s=None, onset=rested)
    return fit if fit.busy_since_s is not None else replace(fit, busy_since_s=seen.at_s)


def _promised(fit: Fit) -> Fit:
    """Keep the first word about the next turn: it is what the turn is compared with."""
    found, last = _expected(fit), fit.last
    if last is None:
        return fit
    resting = last.hot and not last.busy
    if resting and fit.cooling.promised_s is None and found.cool_s is not None:
        return replace(fit, cooling=replace(fit.cooling, promised_s=last.at_s + found.cool_s))
    works = fit.busy_since_s is not None
    if works and fit.onset.promised_s is None and found.throttle_s is not None:
        return replace(fit, onset=replace(fit.onset, promised_s=last.at_s + found.throttle_s))
    return fit


def _expected(fit: Fit) -> Forecast:
    if fit.last is None:
        return Forecast(reason="it has told nothing yet")
    rate = -fit.model.theta[1] / _DEGREES
    fitted = fit.model.count >= LEAST_SAMPLES and fit.model.theta[0] > 0
    if fit.last.temp_c is None or not fitted or not _RATES[0] <= rate <= _RATES[1]:
        return _by_episodes(fit, fit.last)
    return _by_model(fit, fit.last.temp_c, rate, hot=fit.last.hot)


def _by_model(fit: Fit, temp_c: float, rate: float, *, hot: bool) -> Forecast:
    aim_c = (fit.cool_c or fit.limit_c) if hot else fit.limit_c
    if aim_c is None:
        return Forecast(reason=_NO_LIMIT)
    end_c = _settles(fit, 0.0 if hot else (fit.load_w or 0.0), rate)
    if (temp_c - aim_c) * (end_c - aim_c) > 0 and (temp_c < aim_c) != hot:
        return Forecast(never=not hot, reason=f"it would settle at {end_c:.0f} °C")
    if (temp_c <= aim_c) == hot:
        return Forecast(cool_s=0.0) if hot else Forecast(throttle_s=0.0)
    if end_c == aim_c:
        return Forecast(reason=f"it would settle at {end_c:.0f} °C, just at its limit")
    seconds = min(LONGEST_S, math.log((temp_c - end_c) / (aim_c - end_c)) / rate)
    return Forecast(cool_s=seconds) if hot else Forecast(throttle_s=seconds)


def _by_episodes(fit: Fit, last: Seen) -> Forecast:
    known = fit.cooling.took if last.hot else fit.onset.took
    if known.count < LEAST_EPISODES:
        return Forecast(reason=f"{known.count} episodes are too few to tell")
    since_s = fit.hot_since_s if last.hot else fit.busy_since_s
    gone_s = 0.0 if since_s is None else last.at_s - since_s
    left_s = min(LONGEST_S, max(0.0, known.mean_s - gone_s))
    return Forecast(cool_s=left_s) if last.hot else Forecast(throttle_s=left_s)


def _settles(fit: Fit, power_w: float, rate: float) -> float:
    """Return the temperature it tends to at a power: where dT/dt is nought."""
    a, b, c = fit.model.theta
    return (a * power_w / _WATTS - b * _OFFSET / _DEGREES + c) / rate
