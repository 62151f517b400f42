# SPDX-License-Identifier: Apache-2.0
"""What a message and the project's settings say, as a wish."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.settings import RolloutKind, ServeSettings
from mlops.serving.handlers.names import NAME, cause_of
from mlops.serving.model.figures import kept_metrics
from mlops.serving.model.plan import Kind, Plan
from mlops.serving.model.promotions import Promotion
from mlops.serving.model.wishes import Wish
from mlops.serving.ports import Served

_AT_ONCE = (1.0,)
_KINDS = {
    RolloutKind.DIRECT: Kind.DIRECT,
    RolloutKind.BLUE_GREEN: Kind.BLUE_GREEN,
    RolloutKind.SHADOW: Kind.SHADOW,
}


def wish_of(
    cause: Message,
    served: Served,
    model: str,
    version: int,
    *,
    now: datetime,
    kind: RolloutKind | None = None,
    why: str = "",
) -> Wish:
    """Return what *cause* wants; *kind* overrides the project's."""
    return Wish(
        version=version,
        deployment_id=_deployment_id(model, version, cause.id),
        cause=cause_of(cause),
        at=cause.time,
        plan=_plan(served.settings, kind),
        why=why[:500],
        metric=served.metric,
        heard_at=now,
    )


def champion(
    promotion: Promotion, served: Served, model: str, *, now: datetime, own: bool = False
) -> Wish:
    """Return the wish for a version that was promoted; *own* when no message tells that its rollout has started."""
    metric = promotion.metric or served.metric
    return Wish(
        version=promotion.version,
        deployment_id=_deployment_id(model, promotion.version, promotion.cause.id),
        cause=promotion.cause,
        at=promotion.at,
        plan=_plan(served.settings, None),
        why=promotion.why[:500],
        metric=metric,
        metrics=kept_metrics(promotion.metrics, metric),
        heard_at=now,
        own=own,
    )


def back(wish: Wish) -> Wish:
    """Return a person's wish for an earlier version: all at once, however hot, judged by its errors alone.

    Whoever goes back does so because what answers is worse than a hot machine, or than a slow version.
    """
    plan = replace(
        wish.plan,
        kind=Kind.DIRECT,
        steps=_AT_ONCE,
        urgent=True,
        max_latency_ratio=None,
        revert_on_quality=False,
    )
    return replace(wish, plan=plan)


def _deployment_id(model: str, version: int, cause_id: str) -> str:
    return f"{model[:80]}-v{version}-{follow_up_id(cause_id, NAME, 0)[:8]}"


def _plan(settings: ServeSettings, kind: RolloutKind | None) -> Plan:
    wanted = _KINDS.get(kind or settings.rollout, Kind.CANARY)
    return Plan(
        steps=_AT_ONCE if wanted in (Kind.DIRECT, Kind.BLUE_GREEN) else settings.steps,
        hold_s=settings.step_hold.total_seconds(),
        max_error_ratio=settings.max_error_ratio,
        backend=settings.backend,
        allow_pickle=settings.allow_pickle,
        kind=wanted,
        max_latency_ratio=settings.max_latency_ratio,
        revert_on_quality=settings.revert_on_quality,
        keep_warm_s=settings.keep_warm.total_seconds(),
        shadow_share=settings.shadow_share,
        shadow_for_s=settings.shadow_for.total_seconds(),
        min_agreement=settings.min_agreement,
    )
