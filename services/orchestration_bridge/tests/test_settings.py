# SPDX-License-Identifier: Apache-2.0
"""Settings: written as people write them, and refused at start where they would do harm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops.orchestration_bridge.settings import Settings

NEEDED = {
    "NATS_URL": "nats://127.0.0.1:1",
    "ORCHESTRATION_BRIDGE_AIRFLOW_URL": "http://127.0.0.1:1",
    "ORCHESTRATION_BRIDGE_AIRFLOW_PASSWORD": "secret",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**NEEDED, "MLOPS_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)


def test_the_pause_is_written_like_every_other_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().pause == timedelta(seconds=1)

    monkeypatch.setenv("ORCHESTRATION_BRIDGE_PAUSE", "250ms")

    assert Settings().pause == timedelta(milliseconds=250)


@pytest.mark.parametrize("pause", ["0s", "soon", "-1s"])
def test_a_pause_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, pause: str) -> None:
    monkeypatch.setenv("ORCHESTRATION_BRIDGE_PAUSE", pause)

    with pytest.raises(ValidationError, match="ORCHESTRATION_BRIDGE_PAUSE"):
        Settings()


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings())
