# SPDX-License-Identifier: Apache-2.0
"""Fact: one message of the bus as the gateway remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlops.gateway.model.describe import describe
from mlops.gateway.model.fields import Fields

BULK = frozenset({"prediction.logged", "label.recorded", "telemetry.sampled", "deployment.metered"})

# Names by which people ask for a story; `model` and `name` count together with their version.
_NAMES = (
    "run_id",
    "deployment_id",
    "workflow_key",
    "dag_run_id",
    "alert_id",
    "trigger_id",
    "command_id",
)


@dataclass(frozen=True)
class Fact:
    """A message: who caused it, which story it belongs to, what it says in one line."""

    id: str
    type: str
    scope: str
    time: str
    story: str
    cause: str
    summary: str
    names: tuple[str, ...]
    payload: str
    data: Fields

    @property
    def happened(self) -> str:
        """Return what happened, without to what: `completed` of `run.completed`."""
        return self.type.partition(".")[2]

    @property
    def is_bulk(self) -> bool:
        """Whether there are too many of its kind to remember their bodies."""
        return self.type in BULK

    def at_rest(self) -> Fact:
        """Return the fact without its parsed data, for keeping; the payload holds them."""
        return replace(self, data=Fields({}))

    def envelope(self) -> dict[str, object]:
        """Return the CloudEvent, without its data when it is one of very many."""
        found = json.loads(self.payload)
        return found if isinstance(found, dict) else {}


def fact_of(envelope: Mapping[str, object]) -> Fact | None:
    """Return what an envelope says, or None for something that is not a CloudEvent."""
    outer = Fields(dict(envelope))
    if not outer.text("id") or not outer.text("type"):
        return None
    type_ = outer.text("type")
    kept = {key: value for key, value in envelope.items() if key != "data" or type_ not in BULK}
    return Fact(
        id=outer.text("id"),
        type=type_,
        scope=outer.text("project") or outer.text("node"),
        time=outer.text("time"),
        story=outer.text("correlationid") or outer.text("id"),
        cause=outer.text("causationid"),
        summary=describe(envelope),
        names=() if type_ in BULK else _names(outer.inner("data")),
        payload=json.dumps(kept, separators=(",", ":")),
        data=outer.inner("data"),
    )


def _names(data: Fields) -> tuple[str, ...]:
    found = [data.text(name) for name in _NAMES]
    version = data.whole("version")
    if version is not None:
        models = (data.text("model"), data.text("name"))
        found.extend(f"{model}:{version}" for model in models if model)
    return tuple(name for name in found if name)
