# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.monitoring.replay`: judge recorded windows by other limits; progress and notes are lines of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from mlops.contracts.settings import ProjectSettings
from mlops.monitoring.replay.run import HistoryError, Rejudged

_PREFIX = "monitor.accuracy."


def main() -> None:
    """Do what the command line says; code 2 where the history or a limit is wrong."""
    parser = _parser()
    asked = parser.parse_args()
    wanted = {name.removeprefix(_PREFIX): value for name, value in json.loads(asked.set).items()}
    known = ProjectSettings.model_validate_json(asked.settings) if asked.settings else None
    again = Rejudged(asked.project, wanted, asked.since, known, lambda step: _print({"step": step}))
    try:
        notes = again.write(asked.source, asked.target)
    except (HistoryError, OSError) as error:
        parser.error(str(error))
    except ValidationError as error:
        parser.error(str(error.errors(include_url=False)[0]["msg"]))
    _print({"result": {"notes": notes, "windows": again.windows}})


def _print(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlops.monitoring.replay", description=__doc__)
    parser.add_argument("source", type=Path, help="CloudEvents as JSON, one a line")
    parser.add_argument("target", type=Path, help="where the same history goes, judged again")
    parser.add_argument("--project", required=True)
    parser.add_argument("--set", required=True, help='JSON: {"monitor.accuracy.drop": 0.03}')
    parser.add_argument("--since", type=datetime.fromisoformat, help="windows before it stay")
    parser.add_argument("--settings", default="", help="JSON, where the history does not hold them")
    return parser


if __name__ == "__main__":
    main()
