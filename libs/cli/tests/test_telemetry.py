# SPDX-License-Identifier: Apache-2.0
"""telemetry parse: what the agent's parsers print goes through, and so does their exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def mlops(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mlops.cli", "telemetry", *words],
        input=stdin,
        capture_output=True,
        check=False,
    )


def test_samples_are_printed_for_people_and_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "-n"  # a name that looks like an option
    file.write_text("com.apple.system.thermalpressurelevel 3\n")

    told, sampled = mlops("parse", str(file)), mlops("parse", "--json", str(file))

    assert (told.returncode, sampled.returncode) == (0, 0)
    assert b"critical in 1" in told.stdout
    assert json.loads(sampled.stdout)[0]["samples"][0]["thermal"]["level"] == 3


def test_standard_input_is_read_and_what_is_no_recording_fails() -> None:
    ended = mlops("parse", "-", stdin=b"Usage: powermetrics [-d]\n")

    assert ended.returncode == 1
    assert b"-: cannot be read as unknown: it is the help text of a tool" in ended.stderr


def test_the_command_line_does_not_load_the_agent() -> None:
    code = "import sys, mlops.cli.main; print([m for m in sys.modules if 'telemetry_agent' in m])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert found.stdout.strip() in (b"[]", b"['mlops.contracts.telemetry_agent']")
