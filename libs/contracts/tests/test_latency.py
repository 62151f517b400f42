# SPDX-License-Identifier: Apache-2.0
"""Answer times as counts: what a quantile says, how counts add up and are subtracted."""

from __future__ import annotations

from mlops.contracts.latency import EDGES_MS, Latencies


def counted(*took_ms: float) -> Latencies:
    found = Latencies()
    for one in took_ms:
        found.add(one)
    return found


def test_a_quantile_is_at_most_a_fifth_too_high() -> None:
    found = counted(*(float(ms) for ms in range(1, 101)))

    assert 50 <= (found.quantile(0.5) or 0) <= 50 * 2**0.25
    assert 95 <= (found.quantile(0.95) or 0) <= 95 * 2**0.25


def test_nothing_counted_has_no_quantile() -> None:
    assert Latencies().quantile(0.5) is None


def test_what_exceeds_every_edge_counts_as_the_last() -> None:
    assert counted(10 * EDGES_MS[-1]).quantile(0.5) == EDGES_MS[-1]


def test_counts_add_up_and_are_subtracted() -> None:
    before, later = counted(1, 2), counted(1, 2, 300)

    assert later.since(before).total == 1
    assert later.since(before).plus(before).counts == later.counts


def test_one_that_began_again_counts_from_zero() -> None:
    assert counted(5).since(counted(1, 2)).counts == counted(5).counts


def test_counts_survive_the_wire() -> None:
    assert Latencies.read(counted(1, 2, 300).as_json()).counts == counted(1, 2, 300).counts


def test_nonsense_on_the_wire_counts_nothing() -> None:
    assert Latencies.read({"x": 1, "-1": 2, "9999": 3, "4": -5, "5": "many"}).total == 0
    assert Latencies.read(["1"]).total == 0
