# SPDX-License-Identifier: Apache-2.0
"""The helper of training loops: a folder, and each request once; without the platform nobody asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops.client.callbacks.saving import SaveOnRequest
from mlops.client.checkpoints import Checkpoints


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "MLOPS_CHECKPOINT_DIR": str(tmp_path / "c"),
        "MLOPS_CHECKPOINT_REQUEST": str(tmp_path / "request.json"),
    }


def ask(tmp_path: Path, text: Any) -> None:
    fresh = tmp_path / "fresh"
    fresh.write_text(text if isinstance(text, str) else json.dumps(text))
    fresh.replace(tmp_path / "request.json")


def test_each_request_is_told_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(environ=environment(tmp_path))
    assert checkpoints.requested() is None
    by = "2026-01-01T12:01:00+00:00"
    ask(tmp_path, {"ask": "leave", "request": 1, "reason": "n1 is hot", "by": by})

    request = checkpoints.requested()

    assert request is not None
    assert (request.ask, request.leaves, request.reason) == ("leave", True, "n1 is hot")
    assert request.by is not None
    assert request.by.isoformat() == by
    assert checkpoints.requested() is None
    ask(tmp_path, {"ask": "save", "request": 2})
    again = checkpoints.requested()
    assert again is not None
    assert (again.number, again.leaves, again.by) == (2, False, None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"ask": "save", "request": "x"}', "null"])
def test_what_cannot_be_read_is_nobodys_request(tmp_path: Path, text: str) -> None:
    checkpoints = Checkpoints(environ=environment(tmp_path))
    ask(tmp_path, text)

    assert checkpoints.requested() is None


def test_without_the_platform_nobody_asks_and_the_folder_is_an_ordinary_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "mine", environ={})

    assert checkpoints.folder == tmp_path / "mine"
    assert checkpoints.folder.is_dir()
    assert checkpoints.requested() is None


def test_done_ends_the_process_only_where_it_is_asked_to_leave(tmp_path: Path) -> None:
    checkpoints = Checkpoints(environ=environment(tmp_path))
    ask(tmp_path, {"ask": "save", "request": 1})
    request = checkpoints.requested()
    assert request is not None
    checkpoints.done(request)

    ask(tmp_path, {"ask": "stop", "request": 2})
    request = checkpoints.requested()
    assert request is not None
    with pytest.raises(SystemExit) as ended:
        checkpoints.done(request)
    assert ended.value.code == 75


def test_the_callback_saves_and_ends_the_training(tmp_path: Path) -> None:
    told: list[Any] = []

    class Wrapped:
        on_train_loss_report = on_val_loss_report = told.append

    callback = SaveOnRequest(
        lambda folder: (folder / "adapters").write_text("w"),
        checkpoints=Checkpoints(environ=environment(tmp_path)),
        wrapped=Wrapped,
    )
    callback.on_val_loss_report({"val_loss": 1})
    callback.on_train_loss_report({"train_loss": 1})
    assert not (tmp_path / "c" / "adapters").exists()
    ask(tmp_path, {"ask": "leave", "request": 1})

    with pytest.raises(SystemExit):
        callback.on_train_loss_report({"train_loss": 2})

    assert (tmp_path / "c" / "adapters").read_text() == "w"
    assert told == [{"val_loss": 1}, {"train_loss": 1}, {"train_loss": 2}]


def test_it_imports_nothing_but_the_standard_library() -> None:
    line = (
        "import sys; from mlops.client.checkpoints import Checkpoints; "
        "print([name for name in ('httpx', 'pydantic', 'numpy', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, check=True, env=os.environ
    )

    assert done.stdout.strip() == "[]"


def test_the_example_of_the_documentation_leaves_and_goes_on_where_it_was(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "checkpoint-and-move.md"
    example = page.read_text().split("```python\n")[1].split("```")[0]
    given = {**os.environ, **environment(tmp_path)}
    ask(tmp_path, {"ask": "leave", "request": 1, "reason": "n1 is hot"})

    left = subprocess.run([sys.executable, "-c", example], env=given, check=False)
    saved = (tmp_path / "c" / "epoch").read_text()
    (tmp_path / "request.json").unlink()
    again = subprocess.run([sys.executable, "-c", example], env=given, check=False)

    assert (left.returncode, saved, again.returncode) == (75, "1", 0)
