# SPDX-License-Identifier: Apache-2.0
"""Room: which versions are in memory together, by measured bytes, and why one more does not fit.

What answers stays, whatever comes. A newcomer (the version of a rollout, a model that wakes) gets what is free; else
idle versions that may sleep make room, the one that was used longest ago first, and others' extra replicas go. A project
that holds more than its share takes room only from itself and from others above theirs, and with another model leaves a
first replica to each project that serves nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

GIB = 2**30
MIB = 2**20
INTERPRETER = 130 * MIB
FIRST = 300 * MIB
RAY_ITSELF = 700 * MIB
SHARE_OF_MACHINE = 0.6
HEAD_ROOM = 1.2
_OF_FILES = 2
_MOST_NAMED = 4
# By backend, of "torch-cpu" the first word; another one counts as the largest.
_LIBRARY = {
    "sklearn": 130 * MIB,
    "onnxruntime": 80 * MIB,
    "numpy": 60 * MIB,
    "pyfunc": 250 * MIB,
    "torch": 350 * MIB,
    "mlx": 80 * MIB,
}


@dataclass(frozen=True)
class Tenant:
    """A version that is in memory or wants to be: *each* replica takes so many bytes.

    *stays* is what answers or was let in already. *running* replicas are in memory now, *wanted* ones pay by demand,
    *most* are allowed. *idle_since* is None for one that may not be put to sleep; *leaves* says that it goes soon,
    *replaces* that another version of the model goes when it has taken over.
    """

    name: str
    project: str
    each: int
    fewest: int = 1
    most: int = 1
    wanted: int = 1
    running: int = 0
    stays: bool = True
    idle_since: datetime | None = None
    leaves: bool = False
    replaces: bool = False

    @property
    def least(self) -> int:
        """Return the bytes without which it cannot be."""
        return self.each * self.fewest


@dataclass(frozen=True)
class NoRoom:
    """Why a version is not let in; *waits* when room will be free soon."""

    reason: str
    waits: bool


@dataclass(frozen=True)
class House:
    """The memory of serving: *leaving* bytes belong to what is on its way out; *weights* to all projects that serve."""

    capacity: int
    leaving: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)

    def share(self, project: str) -> float:
        """Return the bytes that a project may hold whatever others want."""
        mine = self.weights.get(project, 1.0)
        return self.capacity * mine / sum({**self.weights, project: mine}.values())


@dataclass(frozen=True)
class Packing:
    """What is in: the most replicas of each; what is not, and why; and who has to sleep for it."""

    replicas: Mapping[str, int]
    refused: Mapping[str, NoRoom]
    to_sleep: tuple[str, ...] = ()


def need(measured: int | None, size_bytes: int, backend: str, memory_gb: float) -> int:
    """Return the bytes of one replica: what was measured and a fifth more, or an estimate by its files and libraries.

    Never more than it may take at all: *memory_gb* on top of what the interpreter has.
    """
    bound = int(memory_gb * GIB) + INTERPRETER
    if measured is not None:
        return min(bound, int(measured * HEAD_ROOM))
    library = _LIBRARY.get(backend.partition("-")[0], max(_LIBRARY.values()))
    return min(bound, INTERPRETER + library + _OF_FILES * size_bytes)


def capacity_of(machine_bytes: int) -> int:
    """Return the bytes for replicas on a machine of which nothing else is known."""
    return max(FIRST, int(machine_bytes * SHARE_OF_MACHINE) - RAY_ITSELF)


def pack(house: House, tenants: Sequence[Tenant]) -> Packing:
    """Decide who is in; newcomers in the order given."""
    inside = [one for one in tenants if one.stays]
    refused: dict[str, NoRoom] = {}
    to_sleep: list[Tenant] = []
    for one in tenants:
        if one.stays:
            continue
        awake = [other for other in inside if other not in to_sleep]
        promised = _promised(tenants, refused)
        victims = _victims(house, one, awake, promised)
        verdict = _verdict(house, one, inside, [*to_sleep, *victims], promised)
        if verdict is None:
            inside.append(one)
            continue
        refused[one.name] = verdict
        if verdict.waits:
            to_sleep += victims
    extras = _extras(house, inside, reserved=_promised(tenants, refused))
    return Packing(extras, refused, tuple(one.name for one in to_sleep))


def used(tenants: Iterable[Tenant]) -> int:
    """Return the bytes in memory now."""
    return sum(one.each * max(one.fewest, one.running) for one in tenants)


def gib(size: float) -> str:
    """Return bytes as people read them."""
    return f"{size / GIB:.2f}"


def _verdict(
    house: House,
    one: Tenant,
    inside: Sequence[Tenant],
    to_sleep: Sequence[Tenant],
    promised: int,
) -> NoRoom | None:
    kept = _kept_for_others(house, one, inside)
    free = house.capacity - house.leaving - kept - promised - sum(each.least for each in inside)
    extra = used(inside) - sum(other.least for other in inside)
    if one.least <= free - extra:
        return None
    numbers = _numbers(house, one, inside, kept)
    if one.least <= free:
        return NoRoom(f"waits until extra replicas have stopped; {numbers}", waits=True)
    free += house.leaving + sum(other.least for other in inside if other.leaves)
    if one.least <= free:
        return NoRoom(f"waits for versions that leave; {numbers}", waits=True)
    free += sum(other.least for other in to_sleep)
    if one.least <= free:
        own, strangers = _told_apart(one.project, to_sleep)
        names = [
            *(other.name for other in own),
            *(["versions of other projects"] * bool(strangers)),
        ]
        return NoRoom(f"waits for {', '.join(names)} to sleep; {numbers}", waits=True)
    return NoRoom(f"{numbers}; {_FIX}", waits=False)


_FIX = (
    "undeploy a model, let idle ones sleep ([serve] min_replicas = 0), or raise SERVING_MEMORY_GB"
)


def _victims(house: House, one: Tenant, awake: Sequence[Tenant], promised: int) -> list[Tenant]:
    """Return the idle versions that make room for *one*, those used longest ago first; none when all would not do.

    What goes anyway counts as gone: nobody sleeps for room that will be free in a moment.
    """
    held = _held(awake)
    above = held.get(one.project, 0) + one.least > house.share(one.project)
    may_sleep = [
        other
        for other in awake
        if other.idle_since is not None
        and not other.leaves
        and (
            not above
            or other.project == one.project
            or held[other.project] > house.share(other.project)
        )
    ]
    free = house.capacity - _kept_for_others(house, one, awake)
    free -= promised + sum(other.least for other in awake if not other.leaves)
    found: list[Tenant] = []
    for other in sorted(may_sleep, key=lambda tenant: (tenant.idle_since, tenant.name)):
        if one.least <= free:
            break
        found.append(other)
        free += other.least
    return found if one.least <= free else []


def _kept_for_others(house: House, one: Tenant, inside: Iterable[Tenant]) -> int:
    """Return the bytes that a project above its share leaves, with one more model, to those that serve nothing yet."""
    held = _held(inside)
    mine = held.get(one.project, 0)
    if one.replaces or not mine or mine + one.least <= house.share(one.project):
        return 0
    waiting = [name for name in house.weights if name not in held and name != one.project]
    return sum(min(FIRST, int(house.share(name))) for name in waiting)


def _held(tenants: Iterable[Tenant]) -> dict[str, int]:
    held: dict[str, int] = {}
    for one in tenants:
        held[one.project] = held.get(one.project, 0) + one.least
    return held


def _promised(tenants: Sequence[Tenant], refused: Mapping[str, NoRoom]) -> int:
    return sum(one.least for one in tenants if one.name in refused and refused[one.name].waits)


def _extras(house: House, inside: Sequence[Tenant], reserved: int) -> dict[str, int]:
    """Return the most replicas of each: first what pays by demand, then what is free, the project with least first."""
    free = house.capacity - house.leaving - reserved - sum(one.least for one in inside)
    given = {one.name: one.fewest for one in inside}
    for pays in (True, False):
        while True:
            open_ = [
                one
                for one in inside
                if given[one.name] < (min(one.wanted, one.most) if pays else one.most)
                and one.each <= free
            ]
            if not open_:
                break
            held = _held(replace(one, fewest=given[one.name]) for one in inside)
            next_ = min(
                open_,
                key=lambda one: (held[one.project] / house.weights.get(one.project, 1.0), one.name),
            )
            given[next_.name] += 1
            free -= next_.each
    return given


def _numbers(house: House, one: Tenant, inside: Sequence[Tenant], kept: int = 0) -> str:
    in_memory = sum(other.least for other in inside) + house.leaving
    others = f", {gib(kept)} of it kept for projects that serve nothing yet" if kept else ""
    free = max(0, house.capacity - in_memory)
    return (
        f"needs {gib(one.least)} GiB for {one.fewest} replica(s), free {gib(free)} of "
        f"{gib(house.capacity)} GiB{others}; held: {_holders(one.project, inside)}"
    )


def _told_apart(project: str, tenants: Iterable[Tenant]) -> tuple[list[Tenant], list[Tenant]]:
    found = list(tenants)
    own = [one for one in found if one.project == project]
    return own, [one for one in found if one.project != project]


def _holders(project: str, inside: Iterable[Tenant]) -> str:
    """Return who holds how much, for the eyes of a project: others' models are none of its business."""
    own, strangers = _told_apart(project, inside)
    biggest = sorted(own, key=lambda other: -other.least)
    held = [f"{other.name} {gib(other.least)}" for other in biggest[:_MOST_NAMED]]
    if len(biggest) > _MOST_NAMED:
        held.append(f"{len(biggest) - _MOST_NAMED} more")
    if strangers:
        held.append(f"other projects {gib(sum(other.least for other in strangers))}")
    return ", ".join(held) or "nothing"
