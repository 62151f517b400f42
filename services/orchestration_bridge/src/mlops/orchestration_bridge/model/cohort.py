# SPDX-License-Identifier: Apache-2.0
"""Cohort: the machines that train one model together; all of them must be fit at the same moment.

Each takes what one training of the project takes. Where there is only one machine, it trains all the shards itself, as
many at once as it has slots.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from mlops.orchestration_bridge.model.placement import Gate, Host, Needs, Obstacle, best

FEDERATED = "federated"


@dataclass(frozen=True)
class Cohort:
    """How many machines train together, with how many of them a round counts, and how many rounds there are."""

    nodes: int = 2
    min_nodes: int = 1
    rounds: int = 1


def needs(one: Needs, cohort: Cohort, hosts: Collection[Host]) -> Needs:
    """Return what a cohort takes of machines like these: of several, each what one training takes."""
    if len(hosts) > 1:
        return replace(one, nodes=cohort.nodes)
    at_once = min((host.of for host in hosts), default=1)
    return replace(one, memory_bytes=one.memory_bytes * max(1, min(cohort.nodes, at_once)))


def chosen(
    hosts: Iterable[Host], wanted: Needs, near: Collection[str] = (), lasts_s: float | None = None
) -> tuple[Host, ...]:
    """Return the machines to start on, the best first; none where fewer are fit than are needed."""
    if wanted.nodes == 1:  # nearly everything: no list of all machines is made for it
        one = best(hosts, wanted, near, lasts_s)
        return (one,) if one else ()
    left, found = list(hosts), []
    for _ in range(wanted.nodes):
        host = best(left, wanted, near, lasts_s)
        if host is None:
            return ()
        found.append(host)
        left.remove(host)
    return tuple(found)


def short(wanted: Needs, hosts: int, ways: Sequence[Obstacle]) -> tuple[Gate, str] | None:
    """Return what a cohort lacks and in how far, None when enough machines are fit; *ways* are those that are not.

    *ways* stand in the order in which their machines can be of use.
    """
    fit = hosts - len(ways)
    if wanted.nodes <= 1 or fit >= wanted.nodes:
        return None
    if hosts < wanted.nodes:
        lacks = f"{wanted.nodes} machines are needed at once, there are {hosts}"
        return (
            Gate.UNKNOWN_NODE,
            f"{lacks}: `mlops node start` on another, or lower [federated].nodes",
        )
    first = "; ".join(way.reason for way in ways[: wanted.nodes - fit])
    return ways[wanted.nodes - fit - 1].gate, f"{fit} of {wanted.nodes} machines are free: {first}"
