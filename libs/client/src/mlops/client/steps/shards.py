# SPDX-License-Identifier: Apache-2.0
"""Shards: which part of a federated training a step is, as the orchestrator tells it, and where its folders are kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.work import say

METRICS_FILE = "metrics.json"
_ROOT = "federated"


@dataclass(frozen=True)
class Round:
    """One round of several."""

    number: int
    of: int

    @property
    def updates(self) -> str:
        """Return where the updates of the round are kept."""
        return f"{_ROOT}/updates/{self.number}"

    @property
    def result(self) -> str:
        """Return where the model of the round is kept."""
        return f"{_ROOT}/global/{self.number}"

    @property
    def before(self) -> Round | None:
        """Return the round before, None of the first."""
        return Round(self.number - 1, self.of) if self.number > 1 else None

    @property
    def environment(self) -> dict[str, str]:
        """Return what the project's command is told of it."""
        return {"MLOPS_ROUND": str(self.number), "MLOPS_ROUNDS": str(self.of)}


@dataclass(frozen=True)
class Shard:
    """One part of a round; `label` names it among the others: the machine's name, where each has one."""

    round: Round
    number: int
    of: int
    node: str
    label: str

    @property
    def update(self) -> str:
        """Return where its update is kept."""
        return f"{self.round.updates}/{self.label}"

    @property
    def environment(self) -> dict[str, str]:
        """Return what the project's command is told of it."""
        own = {"MLOPS_SHARD": str(self.number), "MLOPS_SHARDS": str(self.of)}
        return {**self.round.environment, **own, "MLOPS_NODE": self.node or self.label}


def round_of(environ: Mapping[str, str]) -> Round:
    """Return the round that a step works for; PermanentError names a variable that is wrong."""
    return Round(_number(environ, "MLOPS_ROUND", 1), _number(environ, "MLOPS_ROUNDS", 1))


def shard_of(environ: Mapping[str, str]) -> Shard:
    """Return the shard that a step works for; PermanentError names a variable that is wrong."""
    number, of = _number(environ, "MLOPS_SHARD", 0), _number(environ, "MLOPS_SHARDS", 1)
    label = environ.get("MLOPS_LABEL") or f"shard-{number}"
    return Shard(round_of(environ), number, of, environ.get("MLOPS_NODE", ""), label)


def metrics(folder: Path) -> dict[str, float]:
    """Return the numbers that a command left in `metrics.json`; what is none is said, and left out."""
    file = folder / METRICS_FILE
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise PermanentError(
            f"{METRICS_FILE} is not JSON: {error}; write an object of numbers"
        ) from error
    if not isinstance(found, dict):
        raise PermanentError(f"{METRICS_FILE} holds no object; write one of names and numbers")
    kept = {str(name): float(value) for name, value in found.items() if _is_number(value)}
    if left_out := sorted(found.keys() - kept.keys()):
        say(f"no finite numbers in {METRICS_FILE}: {', '.join(left_out)}")
    return kept


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(environ: Mapping[str, str], name: str, least: int) -> int:
    text = environ.get(name, "")
    if not text.isdigit() or int(text) < least:
        raise PermanentError(f"{name} is {text!r}; this step is started by the orchestrator's DAG")
    return int(text)
