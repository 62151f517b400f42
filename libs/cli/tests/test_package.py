# SPDX-License-Identifier: Apache-2.0
"""package: the command asks this machine's store, not the platform, and says what it refuses and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from libs.cli.tests.conftest import Door

from mlops.cli.errors import CliError
from mlops.cli.home import Home
from mlops.cli.store_desk import ask

TAG = "fraud--risk:3-0a1b2c3d"
LABELS = {
    "project": "fraud",
    "model": "risk",
    "version": "3",
    "format": "onnx",
    "backend": "onnxruntime",
    "backend_reason": "it is installed",
}


def keep(home: Path, labels: dict[str, str]) -> Path:
    """Lay a Bento's descriptions into the store, as far as `list` and `openapi` read them."""
    bento = home / "bentoml" / "bentos" / TAG.replace(":", "/")
    source = bento / "src" / "packed"
    source.mkdir(parents=True)
    (bento / "bento.yaml").write_text(json.dumps({"labels": labels}))
    (source / "packed.json").write_text(json.dumps({"task": "predict", "size_bytes": 2_500_000}))
    (bento / "apis").mkdir()
    (bento / "apis" / "openapi.yaml").write_text("openapi: 3.0.2\n")
    return bento


def test_a_store_without_packages_says_how_to_make_one(door: Door) -> None:
    assert "mlops package build" in door.run("package", "list").stdout
    assert door.json("package", "list") == []
    assert door.asked == []


def test_packages_are_listed_with_what_runs_them_and_why(door: Door) -> None:
    keep(door.home, LABELS)

    [one] = door.json("package", "list")
    shown = door.run("package", "list", "-p", "fraud").stdout

    assert (one["bento_tag"], one["labels"], one["imported"]) == (TAG, LABELS, False)
    assert all(word in shown for word in (TAG, "onnxruntime", "2.5 MB", "it is installed"))
    assert door.json("package", "list", "-p", "other") == []


def test_a_damaged_package_is_listed_as_one(door: Door) -> None:
    (keep(door.home, LABELS) / "bento.yaml").write_text("")

    [one] = door.json("package", "list")

    assert "cannot be read" in one["damaged"]
    assert door.run("package", "list").exit_code == 0


def test_openapi_goes_to_standard_output_or_a_file(door: Door, tmp_path: Path) -> None:
    keep(door.home, LABELS)

    shown = door.run("package", "openapi", TAG)
    kept = door.run("package", "openapi", TAG, "-o", str(tmp_path / "openapi.yaml"))

    assert (shown.stdout, kept.exit_code) == ("openapi: 3.0.2\n", 0)
    assert (tmp_path / "openapi.yaml").read_text() == shown.stdout


def test_programs_get_the_text_or_the_name_of_its_file(door: Door, tmp_path: Path) -> None:
    keep(door.home, LABELS)
    file = str(tmp_path / "openapi.yaml")

    assert door.json("package", "openapi", TAG) == {"openapi": "openapi: 3.0.2\n"}
    assert door.json("package", "openapi", TAG, "-o", file) == {"openapi": file}


def test_a_file_that_cannot_be_written_is_a_failure(door: Door) -> None:
    keep(door.home, LABELS)

    found = door.run("package", "openapi", TAG, "-o", "/nowhere/at/all.yaml")

    assert found.exit_code == 1
    assert "cannot be written: No such file" in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("export", "no--such:1"),
        ("openapi", "no--such:1"),
        ("containerfile", "../../etc:1"),
        ("remove", "no--such:1"),
        ("import", "no-such.bento"),
    ],
)
def test_what_is_not_there_is_refused(door: Door, words: tuple[str, ...]) -> None:
    found = door.run("package", *words)

    assert found.exit_code == 2, found.output
    assert "no" in found.output


def test_a_damaged_package_is_not_exported(door: Door, tmp_path: Path) -> None:
    keep(door.home, LABELS)

    found = door.run("package", "export", TAG, str(tmp_path / "x.bento"))

    assert found.exit_code == 2
    assert "damaged since it was packed" in found.output
    assert list(tmp_path.glob("*x.bento*")) == []


def test_build_needs_to_know_where_the_registry_is(door: Door) -> None:
    (door.home / "endpoints.json").unlink()

    found = door.run("package", "build", "risk", "3", "-p", "fraud")

    assert found.exit_code == 3
    assert "mlops up" in found.output


def test_a_store_that_dies_is_told_with_its_last_word(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"did not answer: .*no_such_call"):
        ask(Home(tmp_path), "no_such_call", print)


def test_build_asks_for_the_settings_of_the_project_and_tells_what_the_registry_says(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Another registry in the caller's environment is not ours.
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/other.db")
    found = json.loads((door.home / "endpoints.json").read_text())
    (door.home / "endpoints.json").write_text(json.dumps({**found, "mlflow": "http://127.0.0.1:1"}))
    serve = {"backend": "numpy", "allow_pickle": True}
    door.answer("workspaces", "get", {"project": {"settings": {"serve": serve}}})

    told = door.run("package", "build", "risk", "3", "-p", "fraud")

    assert told.exit_code == 1
    assert "MLflow, for version 3 of 'risk' in workspace 'fraud'" in told.output
    assert door.queries("/api/v1/query/workspaces/get") == [{"project": "fraud"}]
