# SPDX-License-Identifier: Apache-2.0
"""A training that is asked to save, to leave or to stop: what its command hears, what is kept, and what comes back."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from libs.client.tests.step_platform import ROOT, RUN, Platform, work

from mlops.client.steps import evaluate, register, train
from mlops.client.steps.door import Asked, Workflow
from mlops.client.steps.errors import FencedError, LeftError, PermanentError, StoppedError
from mlops.client.steps.requests import Requests
from mlops.client.steps.work import Work

# Counts on from what it finds; on the signal it saves, and ends with 75 where the request says so.
TRAINING = """
import json, os, pathlib, signal, sys, time

folder = pathlib.Path(os.environ["MLOPS_CHECKPOINT_DIR"])
state = folder / "epoch"
epoch = int(state.read_text()) if state.exists() else 0
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
pathlib.Path("began").write_text(str(epoch))
while epoch < {epochs}:
    time.sleep(0.02)
    epoch += 1
    if asked:
        asked.clear()
        request = json.loads(pathlib.Path(os.environ["MLOPS_CHECKPOINT_REQUEST"]).read_text())
        state.write_text(str(epoch))
        pathlib.Path("saved").write_text(json.dumps(request))
        if request["ask"] != "save" and not pathlib.Path("stubborn").exists():
            sys.exit(75)
pathlib.Path("ended").write_text(str(epoch))
"""


@pytest.fixture
def platform() -> Platform:
    return Platform(workflow={"attempt": 1})


def training(
    platform: Platform, folder: Path, attempt: int = 1, epochs: int = 400, **checkpoint: Any
) -> Work:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(TRAINING.format(epochs=epochs))
    settings = {"command": "cd . && $MLOPS_PYTHON train.py", "checkpoint": checkpoint}
    return work(platform, folder, attempt, train=settings)


def left(of: Work) -> LeftError:
    with pytest.raises(LeftError) as found:
        train.perform(of)
    return found.value


def when(condition: Any, then: Any) -> threading.Thread:
    def wait() -> None:
        deadline = time.monotonic() + 15
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def later() -> Iterator[Any]:
    threads: list[threading.Thread] = []
    yield lambda condition, then: threads.append(when(condition, then))
    for thread in threads:
        thread.join()


def test_a_training_that_is_asked_to_save_saves_and_goes_on(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    later((tmp_path / "began").exists, lambda: platform.ask("save", 7))

    train.perform(training(platform, tmp_path, epochs=150))

    request = json.loads((tmp_path / "saved").read_text())
    assert request == {"ask": "save", "request": 7, "reason": "n1 is hot", "by": None}
    assert (tmp_path / "ended").read_text() == "150"
    assert platform.kept == []
    assert platform.statuses == []


def test_a_training_that_leaves_is_kept_and_goes_on_on_another_machine(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    later((one / "began").exists, lambda: platform.ask("leave"))

    error = left(training(platform, one, grace="20s"))

    assert error.exit_status == 75
    assert "left when asked to leave, its work is kept: n1 is hot" in str(error)
    assert platform.kept == ["001-1/.contents.json", "001-1/epoch"]
    assert platform.statuses == ["SCHEDULED"]
    epoch = int(platform.files[f"{ROOT}/checkpoints/001-1/epoch"])
    assert json.loads((one / "saved").read_text())["by"] is not None

    platform.workflow = {"attempt": 2}
    train.perform(training(platform, two, attempt=2, epochs=epoch + 5))

    assert (two / "began").read_text() == str(epoch) != "0"
    assert (two / "ended").read_text() == str(epoch + 5)


def test_a_training_that_does_not_end_in_its_time_goes_on_and_says_so(
    platform: Platform, tmp_path: Path, later: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stubborn").write_text("")
    later((tmp_path / "began").exists, lambda: platform.ask("leave"))

    train.perform(training(platform, tmp_path, epochs=150, grace="0.2s"))

    assert (tmp_path / "ended").exists()
    assert "it did not end in its time" in capfd.readouterr().err


def test_a_training_that_is_stopped_leaves_what_it_had_saved(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    of = training(platform, tmp_path, epochs=100_000)
    folder = tmp_path / "checkpoints" / "rain-1"

    def saved() -> None:
        (folder / "epoch").write_text("3")
        os.utime(folder / "epoch", (time.time() - 60,) * 2)
        platform.ask("stop")

    later((tmp_path / "began").exists, saved)

    assert left(of).exit_status == 75
    assert platform.files[f"{ROOT}/checkpoints/001-1/epoch"] == b"3"


def test_what_was_being_written_when_it_was_stopped_is_not_kept(
    platform: Platform, tmp_path: Path, later: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    line = 'while :; do echo half >> "$MLOPS_CHECKPOINT_DIR/state"; touch began; sleep 0.05; done'
    of = work(platform, tmp_path, train={"command": line, "checkpoint": {}})
    later((tmp_path / "began").exists, lambda: platform.ask("stop"))

    assert left(of).exit_status == 76
    assert platform.kept == []
    assert "may be half written" in capfd.readouterr().err


def test_a_training_that_cannot_save_is_only_ever_stopped(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    of = work(platform, tmp_path, train={"command": "touch began; exec sleep 60"})

    def ask() -> None:
        platform.ask("leave")
        time.sleep(0.8)
        platform.ask("stop", 2)

    later((tmp_path / "began").exists, ask)
    began = time.monotonic()

    assert left(of).exit_status == 76
    assert time.monotonic() - began > 0.8
    assert platform.statuses == ["SCHEDULED"]


def test_a_signal_harms_nobody_who_does_not_know_it(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    line = "touch began; sleep 2; touch ended"
    later((tmp_path / "began").exists, lambda: platform.ask("save"))

    train.perform(work(platform, tmp_path, train={"command": line, "checkpoint": {}}))

    assert (tmp_path / "ended").exists()


def test_a_shell_that_ends_at_once_does_not_cut_off_what_still_saves(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    saving = (
        "import os, pathlib, signal, sys, time\n"
        "folder = pathlib.Path(os.environ['MLOPS_CHECKPOINT_DIR'])\n"
        "def save(*_):\n    time.sleep(1)\n    (folder / 'state').write_text('whole')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "pathlib.Path('began').write_text('')\ntime.sleep(60)\n"
    )
    (tmp_path / "saving.py").write_text(saving)
    line = "$MLOPS_PYTHON saving.py && echo done"
    of = work(platform, tmp_path, train={"command": line, "checkpoint": {}})
    later((tmp_path / "began").exists, lambda: platform.ask("stop"))

    assert left(of).exit_status == 75
    assert platform.files[f"{ROOT}/checkpoints/001-1/state"] == b"whole"


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        "no",
        {"attempt": "many"},
        {"attempt": 1, "asked": "please"},
        {"attempt": 1, "asked": {"ask": "dance", "request": 1, "attempt": 1}},
        {"attempt": 1, "asked": {"ask": "stop", "request": "x", "attempt": 1}},
        {"attempt": 1, "asked": {"ask": "stop", "request": 1, "attempt": 9}},
        {"attempt": 1, "asked": {"ask": "stop", "request": 1, "attempt": 1, "age_s": 500}},
    ],
)
def test_a_gateway_that_answers_nonsense_changes_nothing(
    platform: Platform, tmp_path: Path, nonsense: Any
) -> None:
    platform.workflow = nonsense
    of = work(platform, tmp_path, train={"command": "sleep 0.8", "checkpoint": {}})

    train.perform(of)

    assert platform.asked > 2


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_gateway_that_is_away_changes_nothing(
    platform: Platform, tmp_path: Path, status: int
) -> None:
    platform.ask("stop")
    platform.status = status

    train.perform(work(platform, tmp_path, train={"command": "sleep 0.5"}))


def test_a_slow_gateway_is_not_waited_for() -> None:
    answered = threading.Event()

    def slow() -> Workflow | None:
        answered.wait(10)
        return Workflow(1, Asked("stop", 1, 1))

    began = time.monotonic()
    with Requests(slow, 1, 0.05) as found:
        assert found.newest.asked is None
    assert time.monotonic() - began < 5
    answered.set()


def test_a_newer_attempt_ends_this_one_and_its_run_is_left_alone(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    of = work(platform, tmp_path, train={"command": "touch began; exec sleep 60"})
    later((tmp_path / "began").exists, lambda: setattr(platform, "workflow", {"attempt": 2}))

    with pytest.raises(FencedError):
        train.perform(of)

    assert platform.statuses == []
    for step in (train, evaluate, register):
        with pytest.raises(FencedError, match="another attempt of this workflow has begun"):
            step.perform(of)


@pytest.mark.parametrize(("newest", "marked"), [(1, ["KILLED"]), (2, [])])
def test_a_step_that_is_told_to_end_marks_its_run_unless_a_newer_attempt_has_it(
    platform: Platform, tmp_path: Path, newest: int, marked: list[str]
) -> None:
    of = work(platform, tmp_path)
    platform.workflow = {"attempt": newest}

    with pytest.raises(StoppedError), of.failing_marks(RUN):
        raise StoppedError("told to stop")

    assert platform.statuses == marked


def test_what_an_earlier_attempt_has_trained_is_not_trained_again(
    platform: Platform, tmp_path: Path
) -> None:
    line = {"command": "echo ran >> ran"}
    train.perform(work(platform, tmp_path, train=line))
    platform.workflow = {"attempt": 2}

    train.perform(work(platform, tmp_path, attempt=2, train=line))
    assert (tmp_path / "ran").read_text() == "ran\n"

    platform.tags["mlops.dataset.days"] = "2@newer"
    train.perform(work(platform, tmp_path, attempt=2, train=line))
    assert (tmp_path / "ran").read_text() == "ran\nran\n"


def test_an_evaluation_that_is_stopped_keeps_the_training(
    platform: Platform, tmp_path: Path, later: Any
) -> None:
    line = {"command": "touch began; exec sleep 60"}
    later((tmp_path / "began").exists, lambda: platform.ask("stop"))

    with pytest.raises(LeftError) as found:
        evaluate.perform(work(platform, tmp_path, evaluate=line))

    assert found.value.exit_status == 75


def test_a_status_of_75_without_a_request_is_a_failure(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="exit status 75"):
        train.perform(work(platform, tmp_path, train={"command": "exit 75", "checkpoint": {}}))


def test_a_stop_of_the_step_itself_ends_the_command_and_keeps_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    def stop(_: Any) -> None:
        raise StoppedError("told to stop")

    of = work(platform, tmp_path)
    with pytest.raises(StoppedError):
        of.perform("sleep 60", RUN, {}, of.project.settings.train.timeout, stop)

    assert platform.kept == []
