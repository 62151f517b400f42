# SPDX-License-Identifier: Apache-2.0
"""explain: why something happened and what came of it, as one tree of causes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from mlops.gateway.model.archive import Archive
from mlops.gateway.model.facts import Fact

_MOST = 500
_DEEPEST = 60
_KINDS = (
    ("workflow.", "workflow"),
    ("deployment.", "deployment"),
    ("run.", "run"),
    ("model.", "model"),
    ("alert.", "alert"),
)


@dataclass(frozen=True)
class Node:
    """A message and what followed from it; `asked` marks what the caller asked about."""

    id: str
    type: str
    scope: str
    time: str
    summary: str
    asked: bool
    children: tuple[Node, ...]

    def as_json(self) -> dict[str, object]:
        """Return the node as plain JSON values."""
        return {
            "id": self.id,
            "type": self.type,
            "project": self.scope,
            "time": self.time,
            "summary": self.summary,
            "asked": self.asked,
            "children": [child.as_json() for child in self.children],
        }

    def without(self, scopes: Collection[str]) -> Node:
        """Return the node without what followed in some projects, and what came of that."""
        kept = (child.without(scopes) for child in self.children if child.scope not in scopes)
        return replace(self, children=tuple(kept))


@dataclass(frozen=True)
class Explanation:
    """The story around what was asked: `chain` leads from its beginning to what was asked about."""

    asked: str
    matched: str
    event_id: str
    story: str
    project: str
    chain: tuple[str, ...]
    tree: Node
    left_out: int

    def as_json(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "asked": self.asked,
            "matched": {"by": self.matched, "id": self.event_id},
            "story": self.story,
            "project": self.project,
            "chain": list(self.chain),
            "tree": self.tree.as_json(),
            "left_out": self.left_out,
        }

    def without(self, scopes: Collection[str]) -> Explanation:
        """Return the story without what it caused in some projects."""
        return replace(self, tree=self.tree.without(scopes)) if scopes else self


def explain(archive: Archive, asked: str) -> Explanation | None:
    """Return the story of an event, run, `model:version`, deployment, workflow or story id; None if unknown."""
    facts, matched = _match(archive, asked)
    if not facts:
        return None
    first = facts[0]
    told = {fact.id: fact for fact in archive.story(first.story)} | {
        fact.id: fact for fact in facts
    }
    for fact in _ancestors(archive, first):  # a cause may stand in another story
        told[fact.id] = fact
    kept = dict(sorted(told.items(), key=lambda item: item[1].time)[:_MOST])
    kept.setdefault(first.id, first)
    return Explanation(
        asked=asked,
        matched=matched,
        event_id=first.id,
        story=first.story,
        project=first.scope,
        chain=tuple(fact.id for fact in [*reversed(_ancestors(archive, first)), first]),
        tree=_tree(kept, {fact.id for fact in facts}, first.story),
        left_out=max(0, len(told) - len(kept)),
    )


def _match(archive: Archive, asked: str) -> tuple[list[Fact], str]:
    fact = archive.get(asked)
    if fact is not None:
        return [fact], "command" if fact.type.startswith("cmd.") else "event"
    facts = archive.named(asked)
    if facts:
        kinds = [kind for prefix, kind in _KINDS if facts[0].type.startswith(prefix)]
        return _one_story(facts), kinds[0] if kinds else "name"
    return archive.story(asked)[:1], "story"


def _one_story(facts: list[Fact]) -> list[Fact]:
    # A version is rolled out again, a name is used again: the newest story is the one people mean.
    return [fact for fact in facts if fact.story == facts[-1].story]


def _ancestors(archive: Archive, fact: Fact) -> list[Fact]:
    found: list[Fact] = []
    seen = {fact.id}
    cause = archive.get(fact.cause)
    while cause is not None and cause.id not in seen and len(found) < _DEEPEST:
        found.append(cause)
        seen.add(cause.id)
        cause = archive.get(cause.cause)
    return found


def _tree(told: dict[str, Fact], asked: set[str], story: str) -> Node:
    followers: dict[str, list[Fact]] = {}
    for fact in told.values():
        parent = fact.cause if fact.cause in told and not _loops(told, fact) else ""
        followers.setdefault(parent, []).append(fact)
    roots = tuple(_node(fact, followers, asked) for fact in followers[""])
    if len(roots) == 1:
        return roots[0]
    opener = next((root for root in roots if root.id == story), None)
    if opener is not None:
        rest = tuple(root for root in roots if root is not opener)
        return replace(opener, children=(*opener.children, *rest))
    return Node(
        id=story,
        type="story",
        scope=roots[0].scope,
        time=roots[0].time,
        summary="the beginning of this story is no longer remembered",
        asked=False,
        children=roots,
    )


def _loops(told: dict[str, Fact], fact: Fact) -> bool:
    seen = {fact.id}
    cause = told.get(fact.cause)
    while cause is not None:
        if cause.id in seen:
            return True
        seen.add(cause.id)
        cause = told.get(cause.cause)
    return False


def _node(fact: Fact, followers: dict[str, list[Fact]], asked: set[str], depth: int = 0) -> Node:
    below = followers.get(fact.id, ()) if depth < _DEEPEST else ()
    return Node(
        id=fact.id,
        type=fact.type,
        scope=fact.scope,
        time=fact.time,
        summary=fact.summary,
        asked=fact.id in asked,
        children=tuple(_node(child, followers, asked, depth + 1) for child in below),
    )
