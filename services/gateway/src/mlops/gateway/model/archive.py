# SPDX-License-Identifier: Apache-2.0
"""Archive: the last messages of the bus, found again by id, cause, story and name; bounded in every direction."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mlops.gateway.model.facts import Fact


@dataclass(frozen=True)
class Bounds:
    """How much is remembered; what is older is still on the bus."""

    facts: int = 8000
    bulk: int = 2000
    story: int = 400
    bytes: int = 48 * 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """Which messages a caller asks for; an empty field asks for all, and so do no *scopes*. Types may hold `*`."""

    types: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    story: str = ""

    def takes(self, fact: Fact) -> bool:
        """Return whether *fact* is one of them."""
        return (
            (not self.types or any(fnmatchcase(fact.type, type_) for type_ in self.types))
            and (self.scopes is None or fact.scope in self.scopes)
            and self.story in ("", fact.story)
        )


_Index = dict[str, list[str]]


@dataclass
class Archive:
    """Messages in the order in which they came; the same id again changes nothing."""

    bounds: Bounds = field(default_factory=Bounds)
    _facts: OrderedDict[str, Fact] = field(default_factory=OrderedDict)
    _bulk: OrderedDict[str, Fact] = field(default_factory=OrderedDict)
    _by_cause: _Index = field(default_factory=dict)
    _by_story: _Index = field(default_factory=dict)
    _by_name: _Index = field(default_factory=dict)
    _bytes: int = 0

    def __len__(self) -> int:
        """Return how many messages are remembered."""
        return len(self._facts) + len(self._bulk)

    def add(self, fact: Fact) -> bool:
        """Remember *fact*; False when it was known."""
        if self.get(fact.id) is not None:
            return False
        (self._bulk if fact.is_bulk else self._facts)[fact.id] = fact
        for index, key in self._keys(fact):
            index.setdefault(key, []).append(fact.id)
        self._bytes += len(fact.payload)
        self._bound_story(fact.story)
        self._bound(self._facts, self.bounds.facts)
        self._bound(self._bulk, self.bounds.bulk)
        while self._bytes > self.bounds.bytes and len(self._facts) > 1:
            self._forget(next(iter(self._facts)))
        return True

    def get(self, fact_id: str) -> Fact | None:
        """Return a message by its id."""
        return self._facts.get(fact_id) or self._bulk.get(fact_id)

    def caused_by(self, cause_id: str) -> list[Fact]:
        """Return what followed directly from a message."""
        return self._found(self._by_cause.get(cause_id, ()))

    def story(self, story_id: str) -> list[Fact]:
        """Return all that is remembered of a story."""
        return self._found(self._by_story.get(story_id, ()))

    def named(self, name: str) -> list[Fact]:
        """Return the messages about a run, a deployment, a workflow, an alert, or `model:version`."""
        return self._found(self._by_name.get(name, ()))

    def last(self, wanted: Wanted, most: int) -> list[Fact]:
        """Return the newest *most* messages that are wanted, oldest first; the very many ones only in stories."""
        pool: Iterable[Fact] = self.story(wanted.story) if wanted.story else self._facts.values()
        found: list[Fact] = []
        for fact in reversed(list(pool)):
            if wanted.takes(fact):
                found.append(fact)
            if len(found) >= most:
                break
        return found[::-1]

    def _found(self, ids: Iterable[str]) -> list[Fact]:
        return [fact for fact_id in ids if (fact := self.get(fact_id)) is not None]

    def _keys(self, fact: Fact) -> Iterator[tuple[_Index, str]]:
        yield self._by_story, fact.story
        if fact.cause:
            yield self._by_cause, fact.cause
        for name in set(fact.names):
            yield self._by_name, name

    def _bound_story(self, story: str) -> None:
        ids = self._by_story[story]
        if len(ids) > self.bounds.story:
            self._forget(ids[1])  # the first one says how the story began; it stays

    def _bound(self, kept: OrderedDict[str, Fact], most: int) -> None:
        while len(kept) > most:
            self._forget(next(iter(kept)))

    def _forget(self, fact_id: str) -> None:
        fact = self._facts.pop(fact_id, None) or self._bulk.pop(fact_id, None)
        if fact is None:
            return
        self._bytes -= len(fact.payload)
        for index, key in self._keys(fact):
            index[key].remove(fact_id)
            if not index[key]:
                del index[key]
