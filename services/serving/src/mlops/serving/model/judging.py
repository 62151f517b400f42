# SPDX-License-Identifier: Apache-2.0
"""Judging a rollout: go on, wait, or go back, each with its numbers.

Slowness is judged by a test of a quantile (Conover, Practical Nonparametric Statistics, 3.2): were the new version's
95th percentile within the bound, at most one answer in twenty would exceed it. It goes back only when so many do that
this is less likely than `DOUBT`, by Hoeffding's bound on the binomial tail, which errs on the patient side. So few
answers, or a slow first one, or one stall, never take a version back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mlops.serving.model.evidence import P95, Comparison, Counts, Seen, Times
from mlops.serving.model.plan import Plan

UNREADY_PATIENCE_S = 20.0
LEAST_ANSWERS = 30
LEAST_COMPARED = 30
LEAST_COMPARED_TIMES = 100
LEAST_EXTRA_MS = 10.0
DOUBT = 0.001
NOTHING_YET = "nothing was compared yet"


class Verdict(StrEnum):
    """What to do with a rollout whose version gets requests, or copies of them."""

    HOLD = "hold"
    ADVANCE = "advance"
    REVERT = "revert"


@dataclass(frozen=True)
class Judgement:
    """What was seen of a rollout, what to do, and why."""

    verdict: Verdict
    reason: str
    seen: Seen
    at: datetime
    comparison: Comparison | None = None


def judge(plan: Plan, seen: Seen, held_s: float) -> tuple[Verdict, str]:
    """Decide over the step that was begun *held_s* ago, and say why."""
    counts = seen.counts or Counts()
    if fault := found_fault(plan, seen):
        return Verdict.REVERT, fault
    if seen.unready_s > 0:
        return _absent(seen)
    facts = f"{_failures(plan, counts)}; {_times(plan, seen)}"
    if held_s < plan.hold_s:
        return Verdict.HOLD, f"{facts}; watched for {held_s:.1f} of {plan.hold_s:g} s"
    return Verdict.ADVANCE, facts


def found_fault(plan: Plan, seen: Seen) -> str:
    """Return why the version's answers are no good, empty while they are."""
    counts = seen.counts or Counts()
    if too_many_errors(plan.max_error_ratio, counts):
        return _failures(plan, counts)
    return too_slow(plan.max_latency_ratio, seen.times, seen.other_times)


def judge_shadow(
    plan: Plan, found: Comparison | None, seen: Seen, held_s: float
) -> tuple[Verdict, str]:
    """Decide over a shadow that runs since *held_s*; on HOLD at the end a person decides, or more copies do."""
    if seen.unready_s > 0:
        return _absent(seen)
    if found is None:
        return Verdict.HOLD, NOTHING_YET
    if fault := _fault_of_shadow(plan, found):
        return Verdict.REVERT, fault
    if held_s < plan.shadow_for_s:
        share = f"compared for {held_s:.0f} of {plan.shadow_for_s:g} s"
        return Verdict.HOLD, f"{compared(found)}; {share}"
    return _agreed(plan.min_agreement, found)


def too_many_errors(most: float, counts: Counts) -> bool:
    """Return whether more failed than allowed; one failure alone proves nothing unless none is allowed."""
    least = 1 if most == 0 else 2
    return counts.errors >= least and counts.errors > most * counts.requests


def too_slow(most: float | None, new: Times | None, old: Times | None) -> str:
    """Return why the new version is too slow beside the old one, empty while that is not sure."""
    if most is None or new is None or old is None or new.total < LEAST_ANSWERS:
        return ""
    before = old.quantile(P95)
    if before is None or old.total < LEAST_ANSWERS:
        return ""
    bound = max(most * before, before + LEAST_EXTRA_MS)
    slow = new.beyond(bound)
    if _likelihood(slow, new.total) >= DOUBT:
        return ""
    return (
        f"{slow} of {new.total} answers took more than {bound:.3g} ms; p95 is {new.quantile(P95) or 0:.3g} ms "
        f"against {before:.3g} ms, {most:g} times that is allowed"
    )


def compared(found: Comparison) -> str:
    """Return a comparison in words."""
    agree = "" if found.agreement_ratio is None else f"{found.agreement_ratio:.1%} of "
    words = f"{agree}{found.requests} answers agree with version {found.against_version}'s"
    if found.mean_difference is not None:
        words += f", mean difference {found.mean_difference:.3g}"
    if found.latency_p95_ms is not None and found.against_latency_p95_ms is not None:
        words += (
            f", p95 {found.latency_p95_ms:.3g} ms against {found.against_latency_p95_ms:.3g} ms"
        )
    if found.failed or found.dropped:
        words += f", {found.failed} copies failed, {found.dropped} were not sent"
    return words


def _agreed(least: float | None, found: Comparison) -> tuple[Verdict, str]:
    facts = compared(found)
    if least is None:
        return Verdict.HOLD, f"waits for a person: deploy it again to go on; {facts}"
    if found.requests < LEAST_COMPARED or found.agreement_ratio is None:
        return Verdict.HOLD, f"waits for {LEAST_COMPARED} compared answers; {facts}"
    agrees = found.agreement_ratio >= least
    return Verdict.ADVANCE if agrees else Verdict.REVERT, f"{facts}; {least:.1%} are wanted"


def _fault_of_shadow(plan: Plan, found: Comparison) -> str:
    sent = Counts(found.requests + found.failed, found.failed)
    if too_many_errors(plan.max_error_ratio, sent):
        return f"as a shadow {_failures(plan, sent)}"
    new, old = found.latency_p95_ms, found.against_latency_p95_ms
    if plan.max_latency_ratio is None or new is None or old is None:
        return ""
    bound = max(plan.max_latency_ratio * old, old + LEAST_EXTRA_MS)
    if found.requests < LEAST_COMPARED_TIMES or new <= bound:
        return ""
    return (
        f"p95 of {found.requests} copies is {new:.3g} ms against {old:.3g} ms, "
        f"{plan.max_latency_ratio:g} times that is allowed"
    )


def _absent(seen: Seen) -> tuple[Verdict, str]:
    # While nothing else is ready either, the fault is not the version's (a restart of all of serving).
    reason = f"not ready for {seen.unready_s:.0f} s"
    if seen.unready_s >= UNREADY_PATIENCE_S and seen.other_ready:
        return Verdict.REVERT, reason
    return Verdict.HOLD, reason if seen.other_ready else f"{reason}, nor is the version before"


def _failures(plan: Plan, counts: Counts) -> str:
    if not counts.requests:
        return "no requests were counted"
    return (
        f"{counts.errors} of {counts.requests} requests failed ({counts.error_ratio or 0:.1%}), "
        f"{plan.max_error_ratio:.1%} are allowed"
    )


def _times(plan: Plan, seen: Seen) -> str:
    new, old = seen.times, seen.other_times
    if new is None or not new.total:
        return "no answer times yet"
    words = f"p95 {new.quantile(P95) or 0:.3g} ms of {new.total}"
    if old is None or not old.total:
        return words
    words += f" against {old.quantile(P95) or 0:.3g} ms of {old.total}"
    few = plan.max_latency_ratio is not None and min(new.total, old.total) < LEAST_ANSWERS
    return f"{words} (judged from {LEAST_ANSWERS} of each on)" if few else words


def _likelihood(slow: int, total: int) -> float:
    """Return at most how likely so many exceed a bound that one in twenty may exceed."""
    share, may = slow / total, 1 - P95
    if share <= may:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / P95) if share < 1 else 0.0
    return math.exp(-total * (share * math.log(share / may) + rest))
