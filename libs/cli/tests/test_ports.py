# SPDX-License-Identifier: Apache-2.0
"""A port is the kept one, else the usual one, else any free one; never one that somebody holds."""

from __future__ import annotations

import socket
from itertools import count, pairwise

from mlops.cli.supervisor import ports


def test_the_usual_port_is_taken_when_free() -> None:
    found = ports.assign({"mlflow": 5000}, {}, lambda _: True, lambda: 1)

    assert found == {"mlflow": 5000}


def test_the_port_of_last_time_is_kept() -> None:
    found = ports.assign({"mlflow": 5000}, {"mlflow": 40123}, lambda _: True, lambda: 1)

    assert found == {"mlflow": 40123}


def test_a_kept_port_that_is_taken_goes_back_to_the_usual_one() -> None:
    found = ports.assign({"mlflow": 5000}, {"mlflow": 40123}, lambda port: port != 40123, lambda: 1)

    assert found == {"mlflow": 5000}


def test_a_taken_port_moves_and_no_port_is_given_twice() -> None:
    free = count(30000)
    wanted = {"mlflow": 5000, "airflow": 5000, "nats": 4222}

    found = ports.assign(wanted, {"nats": 5000}, lambda port: port != 4222, lambda: next(free))

    assert found == {"mlflow": 5000, "airflow": 30000, "nats": 30001}


def test_a_free_port_that_another_installation_has_chosen_is_passed_over() -> None:
    free, theirs = count(30000), {5000, 30000, 30001}

    found = ports.assign({"mlflow": 5000}, {}, lambda port: port not in theirs, lambda: next(free))

    assert found == {"mlflow": 30002}


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert not ports.is_free(held.getsockname()[1])


def test_a_port_held_for_every_address_is_not_free() -> None:
    with socket.create_server(("0.0.0.0", 0)) as held:  # noqa: S104 - that is the case in question
        assert not ports.is_free(held.getsockname()[1])


def test_a_free_port_is_free() -> None:
    assert ports.is_free(ports.any_free())


def test_rays_ranges_stay_below_the_ports_the_system_hands_out_and_apart() -> None:
    taken = [ports.blocks(seed) for seed in range(20)]
    ranges = sorted(block for found in taken for block in found.values())

    assert ranges[-1][1] < 32768
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
