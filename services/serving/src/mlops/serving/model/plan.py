# SPDX-License-Identifier: Apache-2.0
"""A plan: how a version takes over from the one before, and what takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a version takes over.

    By rising shares; at once; at once and at the size of the one before; after its answers to copies were compared.
    """

    CANARY = "canary"
    DIRECT = "direct"
    BLUE_GREEN = "blue-green"
    SHADOW = "shadow"


@dataclass(frozen=True)
class Plan:
    """How a version takes over: rising shares of the traffic, each held for a while; and what may run it.

    An *urgent* one waits for no machine to cool. *allow_pickle* says that the project trusts its pickles. None of
    *max_latency_ratio* and *min_agreement* means that nothing is judged by it. The version before runs on for
    *keep_warm_s* after completion, for a way back at once.
    """

    steps: tuple[float, ...] = (1.0,)
    hold_s: float = 0.0
    max_error_ratio: float = 0.02
    backend: str = "auto"
    urgent: bool = False
    allow_pickle: bool = False
    kind: Kind = Kind.CANARY
    max_latency_ratio: float | None = None
    revert_on_quality: bool = False
    keep_warm_s: float = 0.0
    shadow_share: float = 1.0
    shadow_for_s: float = 0.0
    min_agreement: float | None = None


def first_of_all(plan: Plan) -> Plan:
    """Return the plan of a version without one before: nothing to compare with, and nothing to go back to."""
    return Plan(backend=plan.backend, urgent=True, allow_pickle=plan.allow_pickle, kind=Kind.DIRECT)


def straight_back(plan: Plan) -> Plan:
    """Return the plan by which the version before takes everything again, however hot it is."""
    return Plan(
        max_error_ratio=plan.max_error_ratio,
        backend=plan.backend,
        urgent=True,
        allow_pickle=plan.allow_pickle,
        kind=Kind.DIRECT,
    )
