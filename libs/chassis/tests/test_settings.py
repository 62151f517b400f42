# SPDX-License-Identifier: Apache-2.0
"""Settings come from arguments, then the environment, then the installation's home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops.chassis.settings import ServiceSettings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NATS_URL", "NATS_TOKEN", "MLOPS_HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))


def test_a_running_installation_is_found(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"nats": "nats://127.0.0.1:1", "other": 1}))
    (tmp_path / "credentials.json").write_text(json.dumps({"nats_token": "secret"}))

    settings = ServiceSettings()

    assert settings.nats_url == "nats://127.0.0.1:1"
    assert settings.nats_token is not None
    assert settings.nats_token.get_secret_value() == "secret"
    assert "secret" not in repr(settings)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"nats": "nats://127.0.0.1:1"}))
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:2")

    assert ServiceSettings().nats_url == "nats://127.0.0.1:2"


def test_without_an_address_nothing_starts() -> None:
    with pytest.raises(ValidationError, match="NATS_URL"):
        ServiceSettings()
