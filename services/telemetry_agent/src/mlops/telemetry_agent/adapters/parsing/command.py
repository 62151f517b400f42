# SPDX-License-Identifier: Apache-2.0
"""`parse FILE… [--json]`: each recording's samples, or which format it cannot be read as and why; 1 when any could not be."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mlops.telemetry_agent.adapters.formats.document import FormatError
from mlops.telemetry_agent.adapters.parsing import folders, report
from mlops.telemetry_agent.adapters.parsing.samples import Parsed, parsed


@dataclass(frozen=True)
class Refused:
    """Why a file could not be read, and as what."""

    format: str
    reason: str


def run(
    arguments: Sequence[str],
    out: TextIO = sys.stdout,
    err: TextIO = sys.stderr,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> int:
    """Do what the command line says and return the exit code: 0, or 1 when a file could not be read."""
    options = _parser().parse_args(arguments)
    results = {name: read(name, clock()) for name in options.files}
    if options.json:
        json.dump([_as_json(name, found) for name, found in results.items()], out, indent=1)
        out.write("\n")
    for name, found in results.items():
        if isinstance(found, Refused):
            err.write(f"{name}: cannot be read as {found.format}: {found.reason}\n")
        elif not options.json:
            out.write("\n".join(report.lines_of(name, found)) + "\n")
    return int(any(isinstance(found, Refused) for found in results.values()))


def read(name: str, now: datetime) -> Parsed | Refused:
    """Return what one file, folder or standard input holds."""
    try:
        return parsed(folders.raw_of(name), name, _written_at(name, now))
    except FormatError as error:
        return Refused(error.format, str(error).removeprefix(f"{error.format}: "))
    except OSError as error:
        return Refused("a file", error.strerror or type(error).__name__)


def _written_at(name: str, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(Path(name).stat().st_mtime, UTC) if name != "-" else now
    except (OSError, ValueError, OverflowError):
        return now


def _as_json(name: str, found: Parsed | Refused) -> dict[str, object]:
    if isinstance(found, Refused):
        return {"file": name, "error": {"format": found.format, "reason": found.reason}}
    samples = [sample.model_dump(mode="json") for sample in found.samples]
    return {"file": name, "format": found.format.name, "samples": samples}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlops telemetry parse",
        description="Print the hardware samples of recordings, whichever tool made them.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, a /sys tree, or - for standard input"
    )
    parser.add_argument("--json", action="store_true", help="print the samples as JSON")
    return parser
