# SPDX-License-Identifier: Apache-2.0
"""What a manifest is made of: one version as it is deployed here, and its project's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlops.cli.errors import CliError, InputError
from mlops.contracts.settings import RolloutKind, ServeSettings

FULL_CONCURRENCY = 8


class Questions(Protocol):
    """Asks services."""

    def query(self, service: str, verb: str, **question: str | float | None) -> dict[str, Any]:
        """Return what a service answers; InputError for what it does not know."""


@dataclass(frozen=True)
class Deployed:
    """One version of a model; *share* of the traffic it takes here, None when it takes none."""

    project: str
    model: str
    version: int
    bento_tag: str
    settings: ServeSettings
    share: float | None = None
    concurrency: int = FULL_CONCURRENCY

    @property
    def canary_percent(self) -> int | None:
        """Return the percent of the traffic it begins with beside an older version, None for all of it."""
        if self.share is not None:
            return None if self.share >= 1 else _percent(self.share)
        by_steps = self.settings.rollout is RolloutKind.CANARY and self.settings.steps[0] < 1
        return _percent(self.settings.steps[0]) if by_steps else None


def read(gateway: Questions, project: str, model: str, version: int | None) -> Deployed:
    """Return *version*, or the one that answers; InputError when it is not deployed."""
    found = gateway.query("serving", "get", project=project, model=model).get("deployment")
    known = gateway.query("workspaces", "get", project=project).get("project")
    if not found or not known:
        raise CliError(
            f"nobody says how {model} of {project} is served", "`mlops status` shows what runs"
        )
    settings = ServeSettings.model_validate(known["settings"].get("serve") or {})
    return deployed(project, model, version, found, settings)


def deployed(
    project: str,
    model: str,
    version: int | None,
    found: Mapping[str, Any],
    settings: ServeSettings,
) -> Deployed:
    """Return what serving's answer about a model says of one version."""
    tags = _bento_tags(found)
    chosen = version if version is not None else _answering(found)
    if chosen is None:
        raise InputError(
            f"no version of {model!r} of {project} is deployed",
            f"`mlops deploy {model}` deploys one; a manifest is made of what runs here",
        )
    if chosen not in tags:
        packed = ", ".join(map(str, sorted(tags))) or "none"
        raise InputError(
            f"version {chosen} of {model!r} of {project} has no Bento here; packed are: {packed}",
            f"`mlops deploy {model} {chosen}` packs and deploys it",
        )
    weights = found.get("weights") or {}
    share = weights.get(str(chosen), 1.0 if chosen == found.get("live") else None)
    heat = (found.get("heat") or {}).get(str(chosen)) or {}
    return Deployed(
        project=project,
        model=model,
        version=chosen,
        bento_tag=tags[chosen],
        settings=settings,
        share=share,
        concurrency=int(heat.get("full") or FULL_CONCURRENCY),
    )


def _answering(found: Mapping[str, Any]) -> int | None:
    """Return the version that answers, else the one on its way, None when there is neither."""
    rollout = found.get("rollout") or {}
    chosen = found.get("live") or rollout.get("version")
    return None if chosen is None else int(chosen)


def _bento_tags(found: Mapping[str, Any]) -> dict[int, str]:
    tags = {
        int(one["version"]): str(one["bento_tag"])
        for one in found.get("packages") or ()
        if one.get("bento_tag")
    }
    if found.get("live") is not None and found.get("bento_tag"):
        tags.setdefault(int(found["live"]), str(found["bento_tag"]))
    return tags


def _percent(share: float) -> int:
    # KServe takes whole percents; what is meant to get some traffic gets some.
    return max(1, round(share * 100))
