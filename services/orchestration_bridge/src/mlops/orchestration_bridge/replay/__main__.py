# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.orchestration_bridge.replay`: try policies on a recorded history; progress and the result are lines of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter

from mlops.contracts.settings import ProjectSettings
from mlops.contracts.units import Duration
from mlops.orchestration_bridge.replay.reading import HistoryError
from mlops.orchestration_bridge.replay.run import Question, Tried, played

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def main() -> None:
    """Play what the command line says; code 2 where the history or a setting is wrong."""
    parser = _parser()
    asked = parser.parse_args()
    try:
        _print({"result": played(_question(asked))})
    except (HistoryError, OSError) as error:
        parser.error(str(error))


def _question(asked: argparse.Namespace) -> Question:
    return Question(
        project=asked.project,
        file=asked.file,
        since=asked.since,
        until=asked.until,
        policies=[
            Tried(one["name"], one["settings"], Path(one["file"]) if one.get("file") else None)
            for one in json.loads(asked.policies)
        ],
        settings=ProjectSettings.model_validate_json(asked.settings) if asked.settings else None,
        lasts=asked.lasts,
        approval=asked.approval,
        tell=lambda step: _print({"step": step}),
    )


def _print(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlops.orchestration_bridge.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="CloudEvents as JSON, one a line")
    parser.add_argument("--project", required=True)
    parser.add_argument("--since", type=datetime.fromisoformat, help="from when on decisions count")
    parser.add_argument("--until", type=datetime.fromisoformat)
    parser.add_argument("--policies", default="[]", help="JSON: name, settings, file of each")
    parser.add_argument("--settings", default="", help="JSON, where the history does not hold them")
    parser.add_argument("--lasts", type=_DURATION.validate_python)
    parser.add_argument("--approval", type=_DURATION.validate_python, default=timedelta(0))
    return parser


if __name__ == "__main__":
    main()
