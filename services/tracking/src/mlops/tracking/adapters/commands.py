# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.tracking backup | restore | import`: progress on stderr, the result on stdout, 0, 1 or 2 as exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from mlops.tracking.errors import StoreError

Result = dict[str, object]


class Places(Protocol):
    """What the commands need of the service's settings."""

    @property
    def store(self) -> str:
        """Return the URI of the store."""

    @property
    def artifacts_uri(self) -> str:
        """Return where artifacts are kept."""


def did_command(read_settings: Callable[..., Places]) -> bool:
    """Say no when the command line says nothing; else do what it says, and exit."""
    if not sys.argv[1:]:
        return False
    raise SystemExit(run(sys.argv[1:], read_settings))


def run(arguments: Sequence[str], read_settings: Callable[..., Places]) -> int:
    """Do what the command line says; return the exit code: 1 when it failed, 2 when it was not understood."""
    words = _parser().parse_args(arguments)
    try:
        # The bus is not needed here, and may be down.
        settings = read_settings(nats_url="nats://not-asked")
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        _say(f"setting {'.'.join(str(step) for step in found['loc'])}: {found['msg']}")
        return 2
    try:
        result = _act(words, settings)
    except StoreError as error:
        _say(f"{words.command} failed: {error}")
        if words.json:
            _tell({"command": words.command, "ok": False, "error": str(error)})
        return 1
    _show({"command": words.command, "ok": True, **result}, as_json=words.json)
    return 0


def _act(words: argparse.Namespace, settings: Places) -> Result:
    # Imported when chosen: an import of MLflow takes seconds that a backup of a file does not need.
    store, artifacts = settings.store, settings.artifacts_uri
    if words.command == "backup":
        from mlops.tracking.adapters.backup import backup  # noqa: PLC0415

        return backup(store, artifacts, words.target, _say, with_remote=words.artifacts)
    if words.command == "restore":
        from mlops.tracking.adapters.restore import restore  # noqa: PLC0415

        return restore(words.source, store, artifacts, _say, force=words.force)
    from mlops.tracking.adapters.mlflow_import import move_in  # noqa: PLC0415

    return move_in(
        words.uri,
        words.project,
        store,
        artifacts,
        _say,
        files=words.artifacts,
        promote=words.promote,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlops.tracking", description="Without a command, runs the service."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    saving = commands.add_parser(
        "backup", parents=[common], help="copy store and artifacts, also while the service runs"
    )
    saving.add_argument("target", type=Path, help="a folder that is not there yet")
    saving.add_argument("--artifacts", action="store_true", help="copy artifacts on S3 too")
    loading = commands.add_parser(
        "restore", parents=[common], help="put a backup in the place of store and artifacts"
    )
    loading.add_argument("source", type=Path, help="the folder that `backup` wrote")
    loading.add_argument(
        "--force", action="store_true", help="also over a store that holds something: moved aside"
    )
    moving = commands.add_parser(
        "import", parents=[common], help="copy runs and models of another MLflow into a project"
    )
    moving.add_argument("uri", help="a database (file or URI) or a folder `mlruns`")
    moving.add_argument("--project", required=True, help="the project that gets them")
    moving.add_argument(
        "--artifacts", type=Path, help="the folder in which that MLflow's server kept artifacts"
    )
    moving.add_argument(
        "--promote", action="store_true", help="roll out the versions with the alias champion"
    )
    return parser


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        _tell(result)
        return
    for name, value in result.items():
        if value not in (None, [], ""):
            sys.stdout.write(f"{name}: {value}\n")


def _tell(result: Result) -> None:
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
