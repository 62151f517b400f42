# SPDX-License-Identifier: Apache-2.0
"""What is generated from the messages and committed is what the messages say now."""

from __future__ import annotations

from pathlib import Path

from mlops.contracts.generate.__main__ import main
from mlops.contracts.generate.files import generated, stale, write


def test_generated_files_are_those_of_the_code(root: Path) -> None:
    assert stale(root, generated(root)) == [], "run `just contracts` and look at the difference"


def test_stale_and_superfluous_files_are_found(root: Path, tmp_path: Path) -> None:
    files = generated(root)
    schemas = tmp_path / "libs/contracts/schemas"
    write(tmp_path)
    assert stale(tmp_path, generated(tmp_path)) == []

    (schemas / "run.started.json").write_text("{}")
    (schemas / "no.such.json").write_text("{}")

    assert [path.name for path in stale(tmp_path, generated(tmp_path))] == [
        "no.such.json",
        "run.started.json",
    ]
    assert len(files) == len(generated(tmp_path))


def test_check_fails_until_the_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "libs/contracts").mkdir(parents=True)
    (tmp_path / "libs/contracts/pyproject.toml").write_text("")

    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
