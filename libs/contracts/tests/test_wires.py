# SPDX-License-Identifier: Apache-2.0
"""Subscriptions are read from `app.py` without importing it; what cannot be read is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.contracts.generate.asyncapi import asyncapi, readers, tellers
from mlops.contracts.generate.wires import UnreadableWireError, Wire, read_wires
from mlops.contracts.monitoring import DriftDetected
from mlops.contracts.tracking import ModelPromoted, PromoteModel
from mlops.contracts.workspaces import ProjectRegistered, WorkspaceProvisioned


def write_app(services: Path, service: str, body: str) -> None:
    folder = services / service / "src" / "mlops" / service
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(body)


def test_plain_calls_and_loops_are_read(tmp_path: Path) -> None:
    write_app(
        tmp_path,
        "bridge",
        "from mlops.contracts import tracking\n"
        "def wire(bus, handlers):\n"
        "    bus.on('bridge', DriftDetected, handlers.on_drift_detected)\n"
        "    bus.on('bridge', tracking.ModelPromoted, handlers.on_model_promoted, Delivery())\n"
        "    for kind in (ProjectRegistered, ProjectUpdated):\n"
        "        bus.on('bridge', kind, handlers.on_project)\n"
        "    bus.answer('bridge', 'list', handlers.list)\n",
    )

    wires = read_wires(tmp_path)

    assert [(wire.service, wire.kind.type) for wire in wires] == [
        ("bridge", "drift.detected"),
        ("bridge", "model.promoted"),
        ("bridge", "project.registered"),
        ("bridge", "project.updated"),
    ]


def test_table_that_cannot_be_read_is_an_error_with_its_place(tmp_path: Path) -> None:
    write_app(tmp_path, "bridge", "for kind in KINDS:\n    bus.on('bridge', kind, handler)\n")

    with pytest.raises(UnreadableWireError, match=r"app\.py:2: 'kind' is no message"):
        read_wires(tmp_path)


def test_no_services_means_no_subscriptions(tmp_path: Path) -> None:
    assert read_wires(tmp_path) == []


def test_commands_are_told_by_the_gateway() -> None:
    assert tellers(PromoteModel, []) == ["gateway"]


def test_events_are_told_by_their_owner() -> None:
    assert tellers(DriftDetected, []) == ["monitoring"]


def test_answers_are_told_by_who_reads_the_question() -> None:
    wires = [Wire("tracking", ProjectRegistered), Wire("serving", ModelPromoted)]

    assert tellers(WorkspaceProvisioned, wires) == ["tracking"]


def test_readers_become_operations() -> None:
    wires = [Wire("serving", ModelPromoted)]

    operations = asyncapi(wires)["operations"]

    assert readers(ModelPromoted, wires) == ["serving"]
    assert operations["serving_receives_ModelPromoted"]["action"] == "receive"
    assert operations["tracking_sends_ModelPromoted"]["action"] == "send"
    assert operations["tracking_receives_PromoteModel"]["action"] == "receive"
