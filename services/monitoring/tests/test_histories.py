# SPDX-License-Identifier: Apache-2.0
"""Any history with repeats, and with models interleaved otherwise, ends in the state of the plain history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.adapters.memory import MemoryLedger, MemoryReports
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.app import wire

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MODELS = ("rain", "snow")


def history(model: str, steps: list[tuple[str, int, float]]) -> list[Message]:
    """Return messages of one model: `predict` rows, `label` the oldest unlabelled, or `deploy` a version."""
    found: list[Message] = []
    sent, labelled, version = 0, 0, 1
    for i, (act, rows, right) in enumerate(steps):
        name = f"{model}-{i}"
        if act == "predict":
            found.append(_logged(name, model, version, range(sent, sent + rows)))
            sent += rows
        elif act == "label":
            found.append(_labels(name, model, range(labelled, labelled + rows), right))
            labelled += rows
        else:
            version += rows % 2
            found.append(_deployed(name, model, version, i))
    return found


def _logged(name: str, model: str, version: int, rows: range) -> Message:
    return PredictionLogged(
        id=name,
        time=NOON,
        project="weather",
        model=model,
        version=version,
        predictions=tuple(
            Prediction(
                request_id=str(i), at=NOON, features={"x": i * 37 % 101 / 7}, prediction=i % 2
            )
            for i in rows
        ),
    )


def _labels(name: str, model: str, rows: range, right: float) -> Message:
    labels = tuple(
        Label(request_id=str(i), label=i % 2 if k < right * len(rows) else 1 - i % 2, at=NOON)
        for k, i in enumerate(rows)
    )
    return LabelRecorded(id=name, time=NOON, project="weather", model=model, labels=labels)


def _deployed(name: str, model: str, version: int, minute: int) -> Message:
    return DeploymentCompleted(
        id=name,
        time=NOON + timedelta(minutes=minute),
        project="weather",
        deployment_id=name,
        model=model,
        version=version,
        endpoint="/x",
        metrics={"accuracy": 0.9},
    )


async def outcome(messages: list[Message]) -> tuple[Any, Any]:
    """Return what monitoring remembers of each model, and the ids of what it told about it, in order."""
    bus, ledger = MemoryBus(), MemoryLedger()
    wire(bus, ledger, MemoryReports(), FileTables(Sidecar("mlops.absent")), keep_windows=3)
    project = ProjectSettings(name="weather", monitor=MonitorSettings(window=50))
    await bus.publish(ProjectRegistered(project="weather", settings=project, revision=1))
    await bus.settle()
    for message in messages:
        bus._ids.discard(message.id)  # as after the stream's window: only the ledger still knows it
        await bus.publish(message)
        await bus.settle()
    assert bus.dead == []
    answer = await bus.ask("monitoring", "models", {})
    told = {
        model: [m.id for m in bus.published if getattr(m, "model", "") == model and m.causation_id]
        for model in MODELS
    }
    return {found["model"]: found for found in answer["models"]}, told


steps = st.lists(
    st.tuples(
        st.sampled_from(["predict", "predict", "label", "deploy"]),
        st.integers(1, 70),
        st.sampled_from([0.5, 0.9, 1.0]),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, steps, st.randoms(use_true_random=False))
async def test_repeats_and_interleaving_change_nothing(
    rain: list[tuple[str, int, float]], snow: list[tuple[str, int, float]], chance: Any
) -> None:
    first, second = history("rain", rain), history("snow", snow)
    mixed: list[Message] = []
    left, right = list(first), list(second)
    while left or right:
        source = left if left and (not right or chance.random() < 0.5) else right
        mixed.append(source.pop(0))
        mixed += [chance.choice(mixed)] if chance.random() < 0.4 else []

    plain = await outcome([*first, *second])
    actual = await outcome(mixed)

    assert actual == plain
