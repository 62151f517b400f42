# SPDX-License-Identifier: Apache-2.0
"""Runs that are interrupted, forked or handed on: ended once, flushed by whoever logged, with what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops.client import MLOpsClient
from mlops.client.spool.outlet import close_all


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_flushes_what_it_logged_itself(client: MLOpsClient) -> None:
    run = client.start_run(hardware=False)
    parents = client._outlet()
    child = os.fork()
    if child == 0:
        client.log_metric("loss", 1.0)
        own = client._outlet()
        os._exit(0 if own is not parents and own.journal.written > 0 else 1)

    _, status = os.waitpid(child, 0)

    run.end()
    assert status == 0
    close_all(0.0)


def test_subprocess_gets_the_password_that_its_parent_was_given(
    client: MLOpsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "http://ada:secret@127.0.0.1:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", told)

    run = client.start_run(hardware=False)

    assert client._channel().environment["MLFLOW_TRACKING_URI"] == told
    run.end()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"secret" in file.read_bytes()]
    close_all(0.0)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLOpsClient:
    """A client whose server is away."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLOPS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MLOPS_FLUSH_TIMEOUT_S", "0")
    return MLOpsClient("rain")


def spooled(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("spool/*/*.log"))


def test_run_that_is_interrupted_while_it_ends_has_ended(
    client: MLOpsClient, tmp_path: Path
) -> None:
    class Interrupted:
        sampler = None

        def stop(self) -> dict[str, str]:
            raise KeyboardInterrupt

    run = client.start_run(hardware=False)
    run.watch = Interrupted()  # type: ignore[assignment]  # Ctrl-C while the sampler is joined

    with pytest.raises(KeyboardInterrupt):
        run.end()

    assert b'"status":"FINISHED"' in spooled(tmp_path)
    close_all(0.0)


def test_start_that_is_interrupted_leaves_no_open_run(
    client: MLOpsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("mlops.client.spool.known.Known.wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        client.start_run(hardware=False)

    assert client.active_run() is None
    assert b'"status":"KILLED"' in spooled(tmp_path)
    close_all(0.0)


def test_name_of_a_registered_model_is_no_path_because_a_folder_has_it_too(
    client: MLOpsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops.client.api.models import _is_path  # noqa: PLC0415 - what deploy_model decides by

    monkeypatch.chdir(tmp_path)
    (tmp_path / "rain").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"")

    assert [_is_path(one) for one in ("rain", "net.onnx", "./rain")] == [False, True, True]
    client.close()
