# SPDX-License-Identifier: Apache-2.0
"""Kinds: every kind of trouble that an alert can be of; who silences another one would silence nothing."""

from __future__ import annotations

from mlops.monitoring.handlers.declines import DECLINED
from mlops.monitoring.handlers.troubles import (
    CANDIDATE,
    DEPLOYMENT,
    LATENCY,
    PERFORMANCE,
    REFERENCE,
    REMOTE,
    REPLICAS,
    ROLLOUT,
)
from mlops.monitoring.handlers.waiting import APPROVAL, PROMOTION
from mlops.monitoring.model.alarm import Kind

KINDS = (
    *(kind.value for kind in Kind if kind is not Kind.CONCEPT),
    *(PERFORMANCE, LATENCY, REPLICAS, CANDIDATE, ROLLOUT, DEPLOYMENT, REMOTE, REFERENCE),
    *("training", "evaluation", APPROVAL, PROMOTION, DECLINED, "dead-letters"),
)
KINDS_OF_THINGS = ("heat-", "service-", "silent-", "disk-")


def is_known(kind: str) -> bool:
    """Return whether an alert can be of this kind."""
    return kind in KINDS or kind.startswith(KINDS_OF_THINGS)
