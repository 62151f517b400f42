# SPDX-License-Identifier: Apache-2.0
"""Story: from all that was said, the causes and effects around one thing, as trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.cli.summary import summary

_NAMES = (
    "run_id",
    "workflow_key",
    "deployment_id",
    "dag_run_id",
    "alert_id",
    "trigger_id",
    "command_id",
)
_MAKING = ("model.", "deployment.")
_UNMAKING = "deployment.removed"


@dataclass(frozen=True)
class Said:
    """A message as the story needs it."""

    id: str
    type: str
    scope: str
    at: datetime
    story: str
    cause: str
    line: str
    names: frozenset[str]


@dataclass(frozen=True)
class Branch:
    """A message, what it caused, and whether it is what was asked about; `after_s` counts from the story's start."""

    said: Said
    after_s: float
    asked: bool
    effects: tuple[Branch, ...]


def said_of(envelope: Mapping[str, Any]) -> Said | None:
    """Return what an envelope says, None for something that is no message."""
    try:
        at = datetime.fromisoformat(str(envelope["time"]))
        id_, type_ = str(envelope["id"]), str(envelope["type"])
    except (KeyError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    scope = str(envelope.get("project") or envelope.get("node") or "")
    return Said(
        id=id_,
        type=type_,
        scope=scope,
        at=at,
        story=str(envelope.get("correlationid") or id_),
        cause=str(envelope.get("causationid") or ""),
        line=summary(envelope),
        names=_names(scope, envelope.get("data")),
    )


def explain(everything: Iterable[Said], asked: str, project: str = "") -> list[Branch]:
    """Return the trees of the newest story in which *asked* stands; empty if it stands in none.

    It may be an id, a name, `model:version` or `project.model:version`. With *project* only what stands in a message
    of that project is meant; its causes and effects may be anywhere.
    """
    by_id = {said.id: said for said in everything}
    matching = [
        said
        for said in by_id.values()
        if (asked in said.names or asked in (said.id, said.story)) and project in ("", said.scope)
    ]
    if not matching:
        return []
    # How a version came about is told by its model and its rollout; measurements, and what removes it, only mention it.
    making = [said for said in matching if said.type.startswith(_MAKING) and said.type != _UNMAKING]
    newest = max(making or matching, key=lambda said: said.at)
    chosen = next((said for said in matching if said.id == asked), newest)
    told = {said.id: said for said in by_id.values() if said.story == chosen.story}
    for said in list(told.values()):  # a cause may stand in another story
        told.update({cause.id: cause for cause in _causes(said, by_id)})
    exact = chosen.id == asked
    marked = {chosen.id} if exact else {said.id for said in matching if said.id in told}
    return _trees(told, marked)


def missing_causes(everything: Sequence[Said]) -> set[str]:
    """Return the ids that are named as causes but were not read."""
    known = {said.id for said in everything}
    return {said.cause for said in everything if said.cause} - known


def _causes(said: Said, by_id: Mapping[str, Said]) -> list[Said]:
    found: list[Said] = []
    seen = {said.id}
    while said.cause in by_id and said.cause not in seen:
        said = by_id[said.cause]
        seen.add(said.id)
        found.append(said)
    return found


def _trees(told: Mapping[str, Said], marked: set[str]) -> list[Branch]:
    effects: dict[str, list[Said]] = {}
    for said in sorted(told.values(), key=lambda one: one.at):
        parent = said.cause if said.cause in told and not _loops(said, told) else ""
        effects.setdefault(parent, []).append(said)
    begin = min(said.at for said in told.values())
    return [_branch(root, effects, marked, begin) for root in effects.get("", [])]


def _loops(said: Said, told: Mapping[str, Said]) -> bool:
    seen: set[str] = set()
    cause = said.cause
    while cause in told and cause not in seen:
        if cause == said.id:
            return True
        seen.add(cause)
        cause = told[cause].cause
    return False


def _branch(
    said: Said, effects: Mapping[str, list[Said]], marked: set[str], begin: datetime
) -> Branch:
    return Branch(
        said=said,
        after_s=(said.at - begin).total_seconds(),
        asked=said.id in marked,
        effects=tuple(_branch(one, effects, marked, begin) for one in effects.get(said.id, [])),
    )


def _names(scope: str, data: object) -> frozenset[str]:
    if not isinstance(data, dict):
        return frozenset()
    found = {str(data[name]) for name in _NAMES if data.get(name)}
    version = data.get("version")
    models = [data[name] for name in ("model", "name") if data.get(name)]
    if version is not None:
        found |= {f"{model}:{version}" for model in models}
        found |= {f"{scope}.{model}:{version}" for model in models}
    return frozenset(found)
