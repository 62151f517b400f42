# SPDX-License-Identifier: Apache-2.0
"""Gate: the candidate becomes champion when it beats the champion on the project's metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlops.tracking.model.facts import is_number

_SHOWN = 8
_WAITS = 'waits for a person\'s cmd.model.promote ([evaluate] promote = "approve")'
_ROUNDING = 1e-12  # 0.3 - 0.2 must count as a gain of 0.1


class Outcome(StrEnum):
    """What becomes of a candidate."""

    PROMOTE = "promoted"
    CHALLENGE = "challenger"
    REJECT = "rejected"
    WAIT = "waiting"


@dataclass(frozen=True)
class Rule:
    """What a project asks of its champions: `[evaluate]`."""

    metric: str
    goal: str = "max"
    min_gain: float = 0.0
    promote: str = "auto"


@dataclass(frozen=True)
class Contender:
    """A version that wants to be, or is, the champion."""

    version: int
    metrics: Mapping[str, float]
    run_id: str | None = None
    running: bool = False


@dataclass(frozen=True)
class Verdict:
    """The decision and what it rests on."""

    outcome: Outcome
    reason: str
    metric: str = ""
    candidate: float | None = None
    champion: float | None = None
    champion_version: int | None = None


def judge(rule: Rule, candidate: Contender, champion: Contender | None) -> Verdict:
    """Decide on a candidate; a metric that is missing is waited for while its run still runs."""
    stays = champion.version if champion else None
    if rule.promote == "never":
        return _reject(
            rule, stays, '[evaluate] promote = "never": this project promotes by command only'
        )
    if rule.goal not in ("max", "min"):
        return _reject(
            rule,
            stays,
            f'[evaluate] goal {rule.goal!r} is neither "max" nor "min"; set one of them',
        )
    value = candidate.metrics.get(rule.metric)
    if value is None and candidate.running:
        return Verdict(
            Outcome.WAIT, f"run {candidate.run_id} has not logged {rule.metric!r} yet", rule.metric
        )
    if value is None or not is_number(value):
        return _reject(rule, stays, _unusable(rule.metric, value, candidate))
    return _compare(rule, candidate, value, champion)


def _compare(rule: Rule, candidate: Contender, value: float, champion: Contender | None) -> Verdict:
    if champion is None:
        return _accept(rule, f"first champion, {rule.metric} {value:g}", value)
    other, where = _of_champion(rule.metric, candidate, champion)
    if other is None or not is_number(other):
        reason = (
            f"champion version {champion.version} has no {rule.metric!r} to compare with {value:g}"
        )
        return _accept(rule, reason, value, None, champion.version)
    gain = value - other if rule.goal == "max" else other - value
    better = gain >= rule.min_gain - _ROUNDING
    sign = ">=" if better else "<"
    reason = (
        f"{rule.metric} {value:g} against {other:g} of champion version {champion.version} ({where}): "
        f"gain {gain:g} {sign} min_gain {rule.min_gain:g}"
    )
    if not better:
        return Verdict(Outcome.REJECT, reason, rule.metric, value, other, champion.version)
    return _accept(rule, reason, value, other, champion.version)


def _of_champion(
    metric: str, candidate: Contender, champion: Contender
) -> tuple[float | None, str]:
    # Measured by the candidate's own run on the same rows, it is the fairer of the two.
    same_rows = candidate.metrics.get(f"champion_{metric}")
    if same_rows is not None:
        return same_rows, "on the same rows"
    return champion.metrics.get(metric), "from its own run"


def _accept(
    rule: Rule,
    reason: str,
    candidate: float,
    champion: float | None = None,
    champion_version: int | None = None,
) -> Verdict:
    outcome = Outcome.PROMOTE if rule.promote == "auto" else Outcome.CHALLENGE
    if outcome is Outcome.CHALLENGE:
        reason = f"{reason}; {_WAITS}"
    return Verdict(outcome, reason, rule.metric, candidate, champion, champion_version)


def _reject(rule: Rule, stays: int | None, reason: str) -> Verdict:
    return Verdict(Outcome.REJECT, reason, rule.metric, champion_version=stays)


def _unusable(metric: str, value: float | None, candidate: Contender) -> str:
    if value is not None:
        return f"metric {metric!r} is {value}; a candidate needs a finite number"
    if candidate.run_id is None:
        return f"metric {metric!r} is missing: the version names no run; register it with run_id"
    names = sorted(candidate.metrics)
    logged = ", ".join(names[:_SHOWN]) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )
    return f"metric {metric!r} is missing in run {candidate.run_id}; logged: {logged or 'nothing'}; log it or change [evaluate] metric"
