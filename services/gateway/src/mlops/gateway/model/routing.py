# SPDX-License-Identifier: Apache-2.0
"""Which version of which model answers a request: names, weights, and whether to try once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlops.gateway.model.fields import Fields

# Answers that say the replica is in trouble, not the request; 404 means that its application is gone.
_TRY_AGAIN = frozenset({404, 500, 502, 503, 504})


@dataclass(frozen=True)
class Target:
    """One version that answers, and its share of the traffic."""

    version: int
    url: str
    weight: float


@dataclass(frozen=True)
class Route:
    """A model of a project and the versions that answer for it."""

    project: str
    model: str
    targets: tuple[Target, ...] = ()

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

    def names(self) -> list[str]:
        """Return every model under the shortest name that means only it."""
        return sorted(
            route.model if len(self.find(route.model)) == 1 else route.name
            for route in self.routes.values()
        )


def table_of(answer: Mapping[str, object]) -> Table:
    """Read serving's answer; entries that make no sense are left out."""
    routes = {}
    for entry in Fields(dict(answer)).inners("routes"):
        project, model = entry.text("project"), entry.text("model")
        if project and model:
            routes[project, model] = Route(project, model, _targets(entry))
    return Table(routes, known=True)


def _targets(entry: Fields) -> tuple[Target, ...]:
    found = []
    for item in entry.inners("versions"):
        version, url = item.whole("version"), item.text("url")
        if version is not None and url:
            found.append(Target(version, url.rstrip("/"), max(0.0, item.number("weight") or 0.0)))
    return tuple(found)


def is_trouble(status: int) -> bool:
    """Return whether an answer asks for another try."""
    return status in _TRY_AGAIN


@dataclass(frozen=True)
class RetryBudget:
    """How many second tries may be made: a share of the requests, so that retries cannot double an overload."""

    tokens: float = 10.0
    most: float = 20.0
    per_request: float = 0.2

    def earned(self) -> RetryBudget:
        """Return the budget after one request."""
        return replace(self, tokens=min(self.most, self.tokens + self.per_request))

    def spent(self) -> RetryBudget | None:
        """Return the budget after one more try, or None when there is none left."""
        return replace(self, tokens=self.tokens - 1) if self.tokens >= 1 else None
