# SPDX-License-Identifier: Apache-2.0
"""Which version of which model answers a request: names, weights, sleep, shadows, and whether to try once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops.gateway.model.fields import Fields

# Answers that say the replica is in trouble, not the request.
_TRY_AGAIN = frozenset({500, 502, 503, 504})
_NOT_FOUND = 404


@dataclass(frozen=True)
class Target:
    """One version that answers, and its share of the traffic."""

    version: int
    url: str
    weight: float


@dataclass(frozen=True)
class Shadow:
    """A version that gets copies of a share of the requests; callers never see its answers."""

    version: int
    url: str
    share: float


@dataclass(frozen=True)
class Route:
    """A model of a project and the versions that answer for it; one that is asleep has none until it is woken."""

    project: str
    model: str
    targets: tuple[Target, ...] = ()
    shadow: Shadow | None = None
    asleep: bool = False

    @property
    def name(self) -> str:
        """Return the name that is unique in the installation."""
        return f"{self.project}.{self.model}"

    def target(self, version: int) -> Target | None:
        """Return the target of a version."""
        return next((one for one in self.targets if one.version == version and one.url), None)

    def choose(self, draw: float, avoid: int | None = None) -> Target | None:
        """Return a target by weight for a *draw* in [0, 1), another than *avoid* where there is one."""
        ready = [one for one in self.targets if one.weight > 0 and one.url]
        ready = [one for one in ready if one.version != avoid] or ready
        point = draw * sum(one.weight for one in ready)
        for one in ready:
            point -= one.weight
            if point < 0:
                return one
        return ready[-1] if ready else None


@dataclass(frozen=True)
class Table:
    """All routes, as serving last told them; `known` is False until it did."""

    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    known: bool = False

    def find(self, name: str) -> tuple[Route, ...]:
        """Return the routes a name may mean: one, none, or several that must be told apart."""
        project, _, model = name.partition(".")
        exact = self.routes.get((project, model))
        if exact is not None:
            return (exact,)
        return tuple(route for route in self.routes.values() if route.model == name)

    def name(self, route: Route) -> str:
        """Return the shortest name that means only this model."""
        return route.model if len(self.find(route.model)) == 1 else route.name

    def seen(self, sees: Callable[[str], bool]) -> Table:
        """Return the table of the projects that a caller *sees*."""
        kept = {key: route for key, route in self.routes.items() if sees(route.project)}
        return Table(kept, self.known)

    def shadows(self) -> set[tuple[str, str, int]]:
        """Return which version of which model is a shadow."""
        return {
            (*key, route.shadow.version)
            for key, route in self.routes.items()
            if route.shadow is not None
        }

    def names(self) -> list[str]:
        """Return every model under the shortest name that means only it."""
        return sorted(self.name(route) for route in self.routes.values())


def table_of(answer: Mapping[str, object]) -> Table:
    """Read serving's answer; entries that make no sense are left out."""
    routes = {}
    for entry in Fields(dict(answer)).inners("routes"):
        project, model = entry.text("project"), entry.text("model")
        if project and model:
            asleep = entry.flag("asleep")
            routes[project, model] = Route(
                project, model, _targets(entry), _shadow(entry), asleep=asleep
            )
    return Table(routes, known=True)


def _targets(entry: Fields) -> tuple[Target, ...]:
    found = []
    for item in entry.inners("versions"):
        version, url = item.whole("version"), item.text("url")
        if version is not None and url:
            found.append(Target(version, url.rstrip("/"), max(0.0, item.number("weight") or 0.0)))
    return tuple(found)


def _shadow(entry: Fields) -> Shadow | None:
    found = entry.inner("shadow")
    version, url = found.whole("version"), found.text("url")
    share = min(1.0, found.number("share") or 0.0)
    if version is None or not url or share <= 0:
        return None
    return Shadow(version, url.rstrip("/"), share)


def is_trouble(status: int, media_type: str) -> bool:
    """Return whether an answer asks for another try.

    A replica says what it does not find in JSON; a 404 in other words means that its application is gone.
    """
    if status == _NOT_FOUND:
        return not media_type.startswith("application/json")
    return status in _TRY_AGAIN


@dataclass
class RetryBudget:
    """How many second tries may be made: a share of the requests, so that retries cannot double an overload."""

    tokens: float = 10.0
    most: float = 50.0
    per_request: float = 0.2

    def earn(self) -> None:
        """Count one request."""
        self.tokens = min(self.most, self.tokens + self.per_request)

    def spend(self) -> bool:
        """Take one second try, where there is one left."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
