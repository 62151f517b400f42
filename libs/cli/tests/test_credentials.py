# SPDX-License-Identifier: Apache-2.0
"""Secrets are made once, kept, and readable by their owner only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mlops.cli.home import Home
from mlops.cli.supervisor import credentials


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    first = credentials.ensure(Home(tmp_path))
    second = credentials.ensure(Home(tmp_path))

    assert first == second
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert len(set(first.values())) == len(first)


def test_airflow_gets_the_long_secret_it_wants(tmp_path: Path) -> None:
    assert len(credentials.ensure(Home(tmp_path))["airflow_jwt_secret"]) >= 64


def test_a_secret_that_an_older_release_did_not_know_is_added(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.credentials.write_text(json.dumps({"nats_token": "kept", "own": "also kept"}))

    found = credentials.ensure(home)

    assert (found["nats_token"], found["own"]) == ("kept", "also kept")
    assert found["gateway_token"]


def test_too_open_a_file_is_closed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    credentials.ensure(home)
    home.credentials.chmod(0o644)

    credentials.ensure(home)

    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.credentials.write_text(content)

    with pytest.raises(credentials.CredentialsError, match="restore it, or remove it"):
        credentials.ensure(home)

    assert home.credentials.read_text() == content
