# SPDX-License-Identifier: Apache-2.0
"""Promotions: which champion of a model is remembered until its project serves the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mlops.serving.model.rollout import Cause


@dataclass(frozen=True)
class Promotion:
    """A version that became champion: told by *cause* at *at*, with what the gate said of it."""

    version: int
    cause: Cause
    at: datetime
    why: str = ""
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


def newest(known: Promotion | None, told: Promotion) -> Promotion:
    """Return the promotion to remember: that which was told last, in whatever order they are read."""
    return known if known is not None and known.at > told.at else told


def without(known: Promotion | None, done: Promotion) -> Promotion | None:
    """Return what is still remembered when *done* is; another one of the same instant stays."""
    if known is None or known.at < done.at or known.cause.id == done.cause.id:
        return None
    return known


def is_over(promotion: Promotion, closed_at: datetime | None) -> bool:
    """Return whether a project that closed then has closed upon a promotion: it was not told after it.

    One told later belongs to a project that was registered again, which is not read yet.
    """
    return closed_at is None or promotion.at <= closed_at
