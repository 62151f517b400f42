# SPDX-License-Identifier: Apache-2.0
"""The promises of the port Pipelines about attempts: runs that leave, that vanish, and that are started again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops.orchestration_bridge.ports.pipelines import Outcome
from servers.pipelines import Bench, order

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(("kind", "saved"), [("leaves", True), ("anew", False)])
async def test_a_run_whose_step_left_says_so_and_whether_it_saved(
    bench: Bench,
    kind: str,
    saved: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    wanted = order(await bench.provisioned(kind))
    await bench.started(wanted)

    outcome = await bench.ended(wanted)

    assert (outcome.completed, outcome.left, outcome.saved) == (False, True, saved)
    assert bench.steps_begun(wanted) == 1  # it is not tried again


async def test_a_failure_of_its_own_has_not_left(bench: Bench) -> None:
    wanted = order(await bench.provisioned("fails"))
    await bench.started(wanted)

    outcome = await bench.ended(wanted)

    assert (outcome.left, outcome.mute) == (False, False)


async def test_a_run_whose_process_vanished_is_mute(bench: Bench) -> None:
    wanted = order(await bench.provisioned("dies"))
    await bench.started(wanted)

    outcome = await bench.ended(wanted)

    assert (outcome.completed, outcome.left, outcome.mute) == (False, False, True)


async def test_each_attempt_is_a_run_of_its_own_that_starts_once(bench: Bench) -> None:
    first = order(await bench.provisioned("works"))
    second = replace(first, attempt=2)
    await bench.started(first)
    assert await bench.pipelines.look(first.project, first.key, 2) is None
    assert (await bench.ended(first)).completed

    run = await bench.started(second)

    assert run.run_id == f"{first.key}.2"
    assert await bench.pipelines.start(second) == run
    assert (await bench.ended(second)).completed


async def test_stop_ends_the_attempt_that_is_named(bench: Bench) -> None:
    first = order(await bench.provisioned("lasts"))
    await bench.started(first)

    await bench.pipelines.stop(first.project, first.key, 2)
    running = await bench.pipelines.look(first.project, first.key)
    await bench.pipelines.stop(first.project, first.key)

    assert running == Outcome(completed=None)
    assert (await bench.ended(first)).completed is False
