# SPDX-License-Identifier: Apache-2.0
"""Which machine takes it, why each of the others does not, and what is refused because it never could."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlops.orchestration_bridge.model import limits
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.nodes import Node, Reading
from mlops.orchestration_bridge.model.placement import (
    GIB,
    Gate,
    Host,
    Needs,
    best,
    obstacle,
    planned,
    taken,
)
from mlops.orchestration_bridge.model.queue import Policy

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEEDS = Needs(memory_bytes=4 * GIB)
MAC = Host("mac", 2, 2, 0, memory_total=16 * GIB, memory_free=8 * GIB, accelerators=("mlx", "mps"))
LINUX = replace(MAC, name="linux", accelerators=())
CUDA = replace(MAC, name="cuda", accelerators=("cuda",))


@pytest.mark.parametrize(
    ("hosts", "needs", "near", "name"),
    [
        ((LINUX, MAC), NEEDS, (), "mac"),
        ((replace(CUDA, name="a"), MAC), NEEDS, (), "mac"),
        ((LINUX, CUDA), replace(NEEDS, accelerator="cuda"), (), "cuda"),
        ((replace(MAC, name="a", level=1), MAC), NEEDS, (), "mac"),
        (
            (replace(MAC, name="a", throttle_s=30.0), replace(MAC, throttle_s=900.0)),
            NEEDS,
            (),
            "mac",
        ),
        ((replace(MAC, name="a"), MAC), NEEDS, ("mac",), "mac"),
        ((replace(MAC, name="a", throttle_s=900.0), MAC), NEEDS, ("mac",), "mac"),
        ((replace(MAC, name="a", slots=1), MAC), NEEDS, (), "mac"),
        ((replace(MAC, name="z"), MAC), NEEDS, (), "mac"),
        ((LINUX, MAC), replace(NEEDS, accelerator="none"), (), "linux"),
    ],
    ids=[
        "an accelerator before a processor",
        "mlx before cuda",
        "what it asks for",
        "cool before warm",
        "what stays cool for as long as it lasts",
        "where its data are",
        "an unknown forecast is as good as long enough",
        "the least loaded",
        "the name between equals",
        "no accelerator where none is wanted",
    ],
)
def test_the_machine_is_chosen(
    hosts: tuple[Host, ...], needs: Needs, near: tuple[str, ...], name: str
) -> None:
    for order in (hosts, hosts[::-1]):
        found = best(order, needs, near, lasts_s=600.0)
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize(
    ("host", "needs", "gate", "words"),
    [
        (replace(MAC, slots=0), NEEDS, Gate.SLOTS, "mac runs 2 of at most 2 at once"),
        (replace(MAC, memory_free=4 * GIB), NEEDS, Gate.MEMORY, "4.0 GiB of memory free, 4.8 GiB"),
        (LINUX, replace(NEEDS, accelerator="mps"), Gate.ACCELERATOR, "linux has no mps"),
        (
            replace(MAC, accelerators=None),
            replace(NEEDS, accelerator="mps"),
            Gate.ACCELERATOR,
            "mac does not say whether it has mps",
        ),
        (
            replace(MAC, level=1),
            replace(NEEDS, latency_critical=True),
            Gate.HEAT,
            "too warm for latency-critical work",
        ),
        (
            replace(MAC, shut=Gate.UNKNOWN_NODE, why_shut="silent"),
            NEEDS,
            Gate.UNKNOWN_NODE,
            "silent",
        ),
    ],
)
def test_each_obstacle_has_a_word_and_its_figures(
    host: Host, needs: Needs, gate: Gate, words: str
) -> None:
    found = obstacle(host, needs)

    assert found is not None
    assert (found.gate, found.host) == (gate, host.name)
    assert words in found.reason


def test_memory_that_a_machine_does_not_tell_is_no_obstacle() -> None:
    assert obstacle(replace(MAC, memory_free=None, memory_total=None), NEEDS) is None


def test_a_full_machine_is_still_the_plan_and_a_hot_one_is_not() -> None:
    full = replace(MAC, slots=0, memory_free=0)

    assert planned([full], NEEDS) == "mac"
    assert planned([replace(full, shut=Gate.HEAT)], NEEDS) is None


def test_of_any_accelerator_the_best_is_taken() -> None:
    assert taken(NEEDS, MAC).accelerator == "mlx"
    assert taken(NEEDS, LINUX).accelerator == "none"
    assert taken(replace(NEEDS, accelerator="mps"), MAC).accelerator == "mps"


def fleet(*said: Reading | None, serving: int = 0, named: tuple[str, ...] = ()) -> Fleet:
    nodes = {
        f"n{place}": Node(0, NOON, reading=reading)
        for place, reading in enumerate(said)
        if reading is not None
    }
    return Fleet(nodes, 2, named, serving)


SMALL = Reading(memory_total=8 * GIB, accelerators=())
LARGE = Reading(memory_total=64 * GIB, accelerators=("mlx", "mps"))
DUMB = Reading()


@pytest.mark.parametrize(
    ("policy", "machines", "words"),
    [
        (Policy(needs=Needs(memory_bytes=60 * GIB)), fleet(SMALL, LARGE), "(n1) has 64.0 GiB"),
        (
            Policy(needs=Needs(memory_bytes=50 * GIB)),
            fleet(LARGE, serving=8 * GIB),
            "8 GiB of it kept for serving",
        ),
        (
            Policy(needs=Needs(accelerator="cuda")),
            fleet(SMALL, LARGE),
            "no machine has it (there is mlx, mps)",
        ),
        (
            Policy(needs=Needs(memory_bytes=4 * GIB), most_memory_bytes=2 * GIB),
            fleet(),
            "raise [share].memory_gb or lower [train].resources.memory_gb",
        ),
        (Policy(needs=Needs(accelerator="mlx"), most_gpu_s=0), fleet(LARGE), "gpu_hours_per_day"),
    ],
)
def test_what_can_never_fit_is_said_with_the_limit_and_the_fix(
    policy: Policy, machines: Fleet, words: str
) -> None:
    assert words in limits.never(policy, machines)


@pytest.mark.parametrize(
    ("policy", "machines"),
    [
        (Policy(needs=Needs(memory_bytes=60 * GIB)), fleet(SMALL, DUMB)),
        (Policy(needs=Needs(memory_bytes=60 * GIB)), fleet()),
        (Policy(needs=Needs(memory_bytes=60 * GIB)), fleet(SMALL, None, named=("n0", "n1"))),
        (Policy(needs=Needs(accelerator="cuda")), fleet(SMALL, DUMB)),
        (Policy(needs=Needs(memory_bytes=50 * GIB)), fleet(SMALL, LARGE)),
    ],
)
def test_what_nobody_knows_refuses_nothing(policy: Policy, machines: Fleet) -> None:
    assert limits.never(policy, machines) == ""
