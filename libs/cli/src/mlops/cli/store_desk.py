# SPDX-License-Identifier: Apache-2.0
"""Asks the installation's store of packages: serving's own program, started for one question, as services are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Any

from mlops.cli.errors import CliError, InputError
from mlops.cli.home import Home

_PROGRAM = "mlops.serving.adapters.packing.desk"


def ask(home: Home, call: str, tell: Callable[[str], None], **given: Any) -> Any:
    """Return what the store answers; *tell* hears how far it is.

    Raises InputError when it refuses, CliError when it could not do it now.
    """
    question = json.dumps({"call": call, "home": str(home.root), "with": given})
    # Not a pipe: libraries may print more than it holds, and would wait for a reader.
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            text=True,
        ) as program,
    ):
        reply = _reply(program, question, tell) or {"error": _last_word(program, said)}
    if "ok" in reply:
        return reply["ok"]
    kind = InputError if reply.get("kind") == "rejected" else CliError
    what, _, fix = str(reply["error"]).rpartition("; ")
    raise kind(what or fix, fix if what else "")


def _reply(
    program: subprocess.Popen[str], question: str, tell: Callable[[str], None]
) -> dict[str, Any]:
    assert program.stdin is not None  # noqa: S101 - both are pipes
    assert program.stdout is not None  # noqa: S101 - as above
    program.stdin.write(question)
    program.stdin.close()
    for line in program.stdout:
        reply: dict[str, Any] = json.loads(line)
        if "step" not in reply:
            return reply
        tell(reply["step"])
    return {}


def _last_word(program: subprocess.Popen[str], said: IO[str]) -> str:
    program.wait()
    said.seek(0)
    lines = said.read().strip().splitlines()
    last = lines[-1] if lines else f"it ended with {program.returncode}"
    return f"the store of packages did not answer: {last}; `mlops doctor` looks what is wrong"
