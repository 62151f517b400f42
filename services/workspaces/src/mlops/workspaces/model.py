# SPDX-License-Identifier: Apache-2.0
"""What a wish about a project comes to: its next standing, and which fact tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Whether new work may start for a project."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class Fact(StrEnum):
    """Which event tells what became of a command."""

    REGISTERED = "registered"
    UPDATED = "updated"
    ARCHIVED = "archived"


@dataclass(frozen=True)
class Standing:
    """Where a project stands; `content` is everything a registration says, in one canonical text."""

    state: State
    revision: int
    content: str


@dataclass(frozen=True)
class Outcome:
    """The next standing and the fact that tells it."""

    standing: Standing
    fact: Fact


def register(now: Standing | None, content: str) -> Outcome:
    """Return what a registration comes to.

    The same content again is told again with the same revision, so that every service that missed it heals.
    A closed project opens under a new revision, because the services have let go of the old one.
    """
    if now is None:
        return Outcome(Standing(State.ACTIVE, 1, content), Fact.REGISTERED)
    if now.state is State.ARCHIVED:
        return Outcome(Standing(State.ACTIVE, now.revision + 1, content), Fact.REGISTERED)
    if now.content == content:
        return Outcome(now, Fact.REGISTERED)
    return update(now, content)


def update(now: Standing, content: str) -> Outcome:
    """Return what new settings of an active project come to; the same ones keep the revision."""
    if now.content == content:
        return Outcome(now, Fact.UPDATED)
    return Outcome(Standing(State.ACTIVE, now.revision + 1, content), Fact.UPDATED)


def archive(now: Standing) -> Outcome:
    """Return what closing a project comes to; a closed one stays closed."""
    return Outcome(Standing(State.ARCHIVED, now.revision, now.content), Fact.ARCHIVED)


def is_newer(told: tuple[int, datetime], kept: tuple[int, datetime] | None) -> bool:
    """Say whether a provisioning report (revision, time) replaces the kept one, in whatever order they arrive."""
    return kept is None or told > kept
