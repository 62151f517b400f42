# SPDX-License-Identifier: Apache-2.0
"""Concept drift is told when labels show a loss that neither inputs nor answers explain, and only then."""

from __future__ import annotations

from typing import Any

from mlops.contracts.alerts import AlertSettings
from mlops.contracts.monitoring import (
    AlertRaised,
    DriftCleared,
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    Severity,
)

REFERENCE = 4


async def begun(world: Any) -> None:
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE + 1):
        await world.window()


def concepts(world: Any, kind: type[DriftDetected | DriftCleared]) -> list[Any]:
    return [one for one in world.heard(kind) if one.kind is DriftKind.CONCEPT]


async def test_a_loss_under_quiet_inputs_is_concept_drift_told_once(world: Any) -> None:
    await begun(world)

    await world.window(right=0.5)
    await world.window(right=0.5)

    (told,) = concepts(world, DriftDetected)
    assert (told.severity, told.columns[0].name, told.columns[0].score) == (
        Severity.WARNING, "accuracy", 0.5,
    )  # fmt: skip
    assert told.window == world.heard(PerformanceDegraded)[0].window
    assert concepts(world, DriftCleared) == []


async def test_a_loss_that_inputs_explain_is_none(world: Any) -> None:
    await begun(world)

    await world.window(right=0.5, shift=1.0)

    assert world.heard(PerformanceDegraded) != []
    assert concepts(world, DriftDetected) == []


async def test_a_loss_before_there_is_a_reference_is_none(world: Any) -> None:
    await world.register()
    await world.deploy()

    await world.window(right=0.5)

    assert world.heard(PerformanceDegraded) != []
    assert concepts(world, DriftDetected) == []


async def test_it_is_over_when_the_model_does_as_promised_again(world: Any) -> None:
    await begun(world)
    await world.window(right=0.5)

    await world.window()
    await world.window(right=0.5)

    assert len(concepts(world, DriftCleared)) == 1
    assert len(concepts(world, DriftDetected)) == 2


async def test_a_new_version_ends_it(world: Any) -> None:
    await begun(world)
    await world.window(right=0.5)

    await world.deploy(version=2)

    assert len(concepts(world, DriftCleared)) == 1


async def test_the_loss_alerts_and_its_reason_does_not(world: Any) -> None:
    world.alerts = AlertSettings(notify=("log",))
    await begun(world)

    await world.window(right=0.5)

    assert [one.title for one in world.heard(AlertRaised) if "drift" in one.title] == []
    assert len(world.heard(AlertRaised)) == 1
