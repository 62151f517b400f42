# SPDX-License-Identifier: Apache-2.0
"""A version that is being rolled out, held against the one that answers beside it by labels of the same time.

What it was promoted with is of other rows: when the world has just changed, both versions may do worse than promised,
and the newer one still be the better. So only the other version's value counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import Promise

FIRST_LOOK = 50
_CLEARLY = 2.0


@dataclass(frozen=True)
class Candidate:
    """A version under way since *since*, beside the version *against*; `looked_at` is the evidence of the last look."""

    version: int
    against: int
    since: datetime
    looked_at: int = 0

    def wants_look(self, evidence: int) -> bool:
        """Return whether so many labelled rows of each version are worth a look.

        From 50 on, and then whenever there are twice as many: few looks keep chance from finding what it looks for.
        """
        return evidence >= max(FIRST_LOOK, 2 * self.looked_at)

    def seen(self, evidence: int) -> Candidate:
        """Return the candidate after a look."""
        return replace(self, looked_at=evidence)


def owes(promise: Promise, against: Measured) -> Promise:
    """Return what a candidate owes: what the version beside it does, less the drop that the project allows."""
    drop = 0.0 if promise.drop is None else promise.drop
    return replace(promise, expected=against.value, drop=drop, floor=None)


def is_worse(promise: Promise, found: Measured, against: Measured) -> bool:
    """Return whether a candidate misses what it *owes* by more than two standard errors of the difference."""
    error = _CLEARLY * math.hypot(found.error, against.error)
    return promise.broken_by(replace(found, error=error), ())
