# SPDX-License-Identifier: Apache-2.0
"""Found: what a replay says of each policy, ranked, with what really happened beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

REALITY, UNCHANGED = "what happened", "unchanged"


class By(StrEnum):
    """What a policy is ranked by; less is better."""

    UNANSWERED = "unanswered"
    ENERGY = "energy"
    RETRAININGS = "retrainings"


_KEYS = {
    By.UNANSWERED: ("unanswered_windows", "energy_j", "retrainings"),
    By.ENERGY: ("energy_j", "unanswered_windows", "retrainings"),
    By.RETRAININGS: ("retrainings", "unanswered_windows", "energy_j"),
}


@dataclass(frozen=True)
class Bar:
    """One workflow of a time line; *assumed* where it never was."""

    since: datetime
    until: datetime
    assumed: bool


def ranked(result: Mapping[str, Any], by: By) -> list[dict[str, Any]]:
    """Return the policies with their place, the best first; equal ones share a place and keep their order."""
    found = sorted(result["policies"], key=lambda one: _figures(one, by))
    places: dict[tuple[float, ...], int] = {}
    for number, one in enumerate(found, 1):
        places.setdefault(_figures(one, by), number)
    return [{**one, "place": places[_figures(one, by)]} for one in found]


def period(result: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return the time that was looked at."""
    return datetime.fromisoformat(result["since"]), datetime.fromisoformat(result["until"])


def bars(policy: Mapping[str, Any], until: datetime) -> list[Bar]:
    """Return the workflows of a policy; one that has not ended goes on until the end."""
    return [
        Bar(
            datetime.fromisoformat(one["at"]),
            datetime.fromisoformat(one["ended_at"]) if one["ended_at"] else until,
            bool(one["assumed"]),
        )
        for one in policy["workflows"]
        if one["at"]
    ]


def declines(policy: Mapping[str, Any]) -> list[datetime]:
    """Return when a policy declined."""
    return [datetime.fromisoformat(o["at"]) for o in policy["decisions"] if not o["accepted"]]


def news(policy: Mapping[str, Any], happened: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the decisions of a policy that differ from what really happened."""
    really = {one["trigger_id"]: one["accepted"] for one in happened["decisions"]}
    return [one for one in policy["decisions"] if really.get(one["trigger_id"]) != one["accepted"]]


def shown(result: Mapping[str, Any], by: By) -> Sequence[Mapping[str, Any]]:
    """Return reality and the ranked policies, in the order in which people read them."""
    return [result["happened"], *ranked(result, by)]


def _figures(one: Mapping[str, Any], by: By) -> tuple[float, ...]:
    return tuple(float("inf") if one[key] is None else float(one[key]) for key in _KEYS[by])
