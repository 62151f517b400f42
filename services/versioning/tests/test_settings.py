# SPDX-License-Identifier: Apache-2.0
"""What versioning is told at start, in the words of people."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops.versioning.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("home")
def test_idle_is_a_duration_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSIONING_IDLE", "90s")

    assert Settings().idle == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("remote", "root"),
    [
        ("", "{home}/data/remote"),
        ("/mnt/data/", "/mnt/data"),
        ("s3://bucket/mlops/", "s3://bucket/mlops"),
        ("backup", "{here}/backup"),
        ("~/backup", "{user}/backup"),
        ("ssh://me@host:2222/data", "ssh://me@host:2222/data"),
    ],
)
def test_a_remote_is_the_same_place_for_every_project(
    home: Path, monkeypatch: pytest.MonkeyPatch, remote: str, root: str
) -> None:
    monkeypatch.setenv("VERSIONING_REMOTE", remote)
    expected = root.format(home=home, here=home.parent, user=Path.home())

    assert Settings().remote_root == expected


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "remote",
    [
        "s3://key:secret@bucket/mlops",
        "s3://AKIA:sec/ret+ef@bucket/mlops",
        "webdavs://u:sec/ret@host",
        "ssh://me:p#secret/@host/data",
        "s3://bucket?access_key=A&secret=z",
        "azure://container?sig=secret",
    ],
)
def test_a_remote_with_a_password_is_refused(monkeypatch: pytest.MonkeyPatch, remote: str) -> None:
    monkeypatch.setenv("VERSIONING_REMOTE", remote)

    with pytest.raises(ValidationError, match="must hold no credentials") as refused:
        Settings()

    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("home")
def test_a_limit_that_is_no_rate_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSIONING_BANDWIDTH", "fast")

    with pytest.raises(ValidationError, match="20MB/s"):
        Settings()
