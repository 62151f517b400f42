# SPDX-License-Identifier: Apache-2.0
"""Component: what the supervisor is to keep running, when it counts as ready, and what must be ready before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Gate:
    """When a started component is ready: `url` answers, `file` exists, or (neither) it has ended with 0.

    With `field` (dotted) the answer must be JSON that says `healthy` there. A component that was ready and whose gate
    is shut for `shut_s` is started again; None leaves it be, for most come back by themselves.
    """

    url: str = ""
    field: str = ""
    file: Path | None = None
    within_s: float = 120.0
    shut_s: float | None = None


@dataclass(frozen=True)
class Component:
    """One process of the platform; `once` marks a preparation that runs to its end."""

    name: str
    command: tuple[str, ...]
    gate: Gate
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    address: str = ""
    prepare: Callable[[], None] = nothing
    once: bool = False
    optional: bool = False
    grace_s: float = 15.0
    marker: str = ""  # names its processes on their command lines, beside the family tree
    fix: str = ""


class UnknownComponentError(ValueError):
    """A name that no component has."""


def selected(
    components: Sequence[Component], only: Sequence[str], without: Sequence[str]
) -> list[Component]:
    """Return the wanted components; a name also stands for all that begin with `<name>-`.

    Who leaves something out with `--without` leaves out what cannot work without it, too. Needs that `--only` does not
    name are dropped: it is for people who know what they do.
    """
    for name in (*only, *without):
        if not any(_named(component, name) for component in components):
            known = ", ".join(component.name for component in components)
            raise UnknownComponentError(f"no component {name!r}; there are {known}")
    left_out = _left_out(components, without)
    chosen = [
        component
        for component in components
        if (not only or any(_named(component, name) for name in only))
        and component.name not in left_out
    ]
    present = {component.name for component in chosen}
    return [_with_needs(component, present) for component in chosen]


def stop_order(components: Sequence[Component]) -> list[list[Component]]:
    """Return groups to stop one after the other: nothing stops before what needs it."""
    left = list(components)
    groups: list[list[Component]] = []
    while left:
        needed = {name for component in left for name in component.needs}
        group = [component for component in left if component.name not in needed]
        if not group:
            raise ValueError(f"needs go in a circle: {[component.name for component in left]}")
        groups.append(group)
        left = [component for component in left if component.name in needed]
    return groups


def _left_out(components: Sequence[Component], without: Sequence[str]) -> set[str]:
    found = {one.name for one in components if any(_named(one, name) for name in without)}
    while more := {
        one.name
        for one in components
        # What is optional waits for all the rest, so that it comes last; it needs none of it.
        if not one.optional and one.name not in found and not found.isdisjoint(one.needs)
    }:
        found |= more
    return found


def _named(component: Component, name: str) -> bool:
    return component.name == name or component.name.startswith(f"{name}-")


def _with_needs(component: Component, present: set[str]) -> Component:
    return replace(component, needs=tuple(name for name in component.needs if name in present))
