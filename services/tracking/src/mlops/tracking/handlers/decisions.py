# SPDX-License-Identifier: Apache-2.0
"""A verdict as tags of the model version (`mlops.gate.*`), for people and for redeliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.contracts.message import Message
from mlops.contracts.tracking import PromoteModel, RunCompleted, RunFailed, RunStale
from mlops.tracking.model.gate import Outcome, Verdict

_PREFIX = "mlops.gate."


@dataclass(frozen=True)
class Decision:
    """What was decided, and because of which message."""

    verdict: Verdict
    causation_id: str


def tags(verdict: Verdict, causation_id: str) -> dict[str, str]:
    """Return the tags, the one that makes the decision final last."""
    values: dict[str, object] = {
        "reason": verdict.reason,
        "metric": verdict.metric,
        "candidate": _text(verdict.candidate),
        "champion": _text(verdict.champion),
        "champion_version": _text(verdict.champion_version),
        "causation_id": causation_id,
        "decision": verdict.outcome.value,
    }
    return {f"{_PREFIX}{name}": str(value) for name, value in values.items()}


def undecided() -> dict[str, str]:
    """Return the tag with which nothing is decided, whatever the others say."""
    return {f"{_PREFIX}decision": ""}


def read(found: Mapping[str, str]) -> Decision | None:
    """Return the decision that stands in a version's tags, or None."""
    own = {
        name.removeprefix(_PREFIX): value
        for name, value in found.items()
        if name.startswith(_PREFIX)
    }
    try:
        verdict = Verdict(
            outcome=Outcome(own.get("decision", "")),
            reason=own.get("reason", ""),
            metric=own.get("metric", ""),
            candidate=_number(own.get("candidate", "")),
            champion=_number(own.get("champion", "")),
            champion_version=int(own["champion_version"]) if own.get("champion_version") else None,
        )
    except ValueError:
        return None  # no decision, or somebody edited the tags: judge anew
    return Decision(verdict, own.get("causation_id", ""))


def is_done(decided: Decision, command: PromoteModel) -> bool:
    """Say whether this command has been decided already."""
    # With another outcome the process died between the tags: the command is still to be done.
    return decided.causation_id == command.id and decided.verdict.outcome is Outcome.PROMOTE


def is_open_again(decided: Decision, event: Message) -> bool:
    """Say whether a rejection for want of a figure is void: its run has come back since, and ends again."""
    return (
        isinstance(event, RunCompleted | RunFailed | RunStale)
        and event.again
        and event.id != decided.causation_id
        and decided.verdict.outcome is Outcome.REJECT
        and decided.verdict.candidate is None
    )


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _number(text: str) -> float | None:
    return float(text) if text else None
