# SPDX-License-Identifier: Apache-2.0
"""What tracking is told at start: an address that is none is refused without repeating its password."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.settings import Settings


@pytest.fixture(autouse=True)
def bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")


@pytest.mark.parametrize("name", ["home", "my home", "100%20 home", "what? home", "a#b", "häus"])
def test_the_store_stands_in_the_home_folder_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / name))
    expected = tmp_path / name / "state" / "tracking" / "mlflow.db"

    store = Settings().store

    assert make_url(store).database == str(expected)
    assert path_of(store) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////data/mlflow.db",
        "sqlite:///mlflow.db",
        "postgresql://me:secret@host:5432/mlflow",
        "postgresql+psycopg://me@host/mlflow",
        "mysql+pymysql://me@host/mlflow",
        "postgresql://me:s%2Fcret@host:5432/mlflow?sslmode=require",
        "postgresql://me@[::1]:5432/mlflow",
        "postgresql:///mlflow?host=/run/postgresql",
    ],
)
def test_databases_that_mlflow_knows_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKING_STORE_URI", uri)

    assert Settings().store == uri


@pytest.mark.parametrize(
    "uri",
    [
        "nonsense",
        "/data/mlflow.db",
        "file:///data/mlruns",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "postgresql://me:secret@host",
        "oracle://me:secret@host/mlflow",
        "postgresql://",
        "postgresql+psycopg://me:secret@host:port/mlflow",
    ],
)
def test_what_is_no_database_is_refused_with_the_forms_there_are(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("TRACKING_STORE_URI", uri)

    with pytest.raises(ValidationError) as refused:
        Settings()

    (error,) = refused.value.errors(include_input=False)
    assert "sqlite:////folder/mlflow.db or postgresql://user:password@host/name" in error["msg"]
    assert "secret" not in error["msg"]


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("0s", 0), ("24h", 86_400), ("90s", 90)])
def test_silence_may_last_for_ever(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: int
) -> None:
    monkeypatch.setenv("TRACKING_SILENT_AFTER", text)

    assert Settings().silent_after.total_seconds() == seconds


@pytest.mark.parametrize("name", ["TRACKING_REAP_EVERY", "TRACKING_STALE_AFTER"])
def test_looking_without_a_pause_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0s")

    with pytest.raises(ValidationError, match=name):
        Settings()
