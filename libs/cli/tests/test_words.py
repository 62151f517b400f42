# SPDX-License-Identifier: Apache-2.0
"""All words: the options each takes, the page that documents them, what is imported, and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from libs.cli.tests.conftest import Door

from mlops.cli import reference
from mlops.cli.checkout import find_checkout
from mlops.cli.commands.original import app as original
from mlops.cli.main import app

# `test` passes every option on to pytest.
PASSING = ("mlops test",)
# These look at the checkout or the packages, not at an installation.
HOMELESS = (
    "mlops bench",
    "mlops version",
    "mlops simulate thermal",
    "mlops telemetry parse",
    "mlops telemetry record",
)
SLOW = ("httpx", "pydantic", "structlog", "asyncio", "nats", "numpy", "matplotlib",
        "mlops.client.client", "mlops.client.spool", "mlops.client.project_file", "mlops.contracts",
        "mlops.chassis", "rich.progress", "rich.markdown")  # fmt: skip


def every_word(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield name, command
    for word, found in (inner or {}).items():
        yield from every_word(found, f"{name} {word}")


WORDS = dict(
    [*every_word(typer.main.get_command(app), "mlops"),
     *every_word(typer.main.get_command(original), "efficientai-toolkit")]
)  # fmt: skip


@pytest.mark.parametrize("word", [word for word in WORDS if word not in PASSING])
def test_every_word_takes_json_and_home_and_says_what_it_does(word: str) -> None:
    options = {option for one in WORDS[word].params for option in one.opts}

    assert "--json" in options
    assert ("--home" in options) == (word not in HOMELESS)
    assert WORDS[word].help


@pytest.mark.parametrize("word", WORDS)
def test_every_argument_and_option_is_explained(word: str) -> None:
    assert [one.name for one in WORDS[word].params if not one.help] == []


def test_the_reference_pages_are_those_of_these_words_and_calls() -> None:
    root = find_checkout()
    assert root is not None

    assert reference.main(["--check"]) == 0, f"write them anew: {reference.REGENERATE}"
    assert (
        "### `log_metrics(metrics: Mapping[str, Any]" in (root / reference.CLIENT_PAGE).read_text()
    )


def test_help_imports_nothing_slow() -> None:
    look = f"import mlops.cli.main, sys; print([one for one in {SLOW!r} if one in sys.modules])"

    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


@pytest.fixture
def known(door: Door) -> Door:
    door.answers["/api/v1/projects"] = {
        "projects": [{"project": "rain", "description": "Does it rain?"}, {"project": "snow"}]
    }
    door.answers["/api/v1/overview"] = {
        "models": [{"model": "rain", "project": "rain"}, {"model": "rain", "project": "snow"}],
        "workflows": [{"workflow_key": "rain-01", "kind": "train", "state": "queued"}],
    }
    door.answer(
        "tracking", "runs", {"runs": [{"run_id": "ab12", "name": "first"}, {"run_id": "cd"}]}
    )
    return door


def completed(door: Door, line: str) -> list[str]:
    words = line.split(" ")
    environment = {
        **os.environ,
        "MLOPS_HOME": str(door.home),
        "_MLOPS_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", "from mlops.cli.main import app; app(prog_name='mlops')"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mlops workf", ["workflow"]),
        ("mlops projects --", ["--home", "--json", "--help"]),
        ("mlops run list -p ", ["rain", "snow"]),
        ("mlops run list -p s", ["snow"]),
        ("mlops deploy ", ["rain"]),
        ("mlops run show a", ["ab12"]),
        ("mlops workflow cancel ", ["rain-01"]),
    ],
)
def test_the_shell_is_offered(known: Door, line: str, offered: list[str]) -> None:
    assert completed(known, line) == offered


def test_without_a_platform_nothing_is_offered_and_nothing_said(known: Door) -> None:
    (known.home / "endpoints.json").write_text('{"gateway": "http://127.0.0.1:1"}')
    away = completed(known, "mlops deploy ")
    (known.home / "endpoints.json").unlink()
    stopped = completed(known, "mlops deploy ")

    assert (away, stopped) == ([], [])


def test_the_shells_own_lines_are_printed(door: Door) -> None:
    environment = {**os.environ, "SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # fmt: skip
    command = [sys.executable, "-c", "from mlops.cli.main import app; app(prog_name='mlops')"]

    found = subprocess.run(
        [*command, "--show-completion", "bash"], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert found.returncode == 0
    assert "_MLOPS_COMPLETE" in found.stdout
    assert door.asked == []
