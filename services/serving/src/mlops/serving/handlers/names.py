# SPDX-License-Identifier: Apache-2.0
"""How things are called outside: endpoints, documents, causes."""

from __future__ import annotations

from mlops.contracts.message import Message
from mlops.serving.model.rollout import Cause

NAME = "serving"


def endpoint(model: str) -> str:
    """Return the path at the gateway under which a model answers."""
    return f"/v2/models/{model}"


def key_of(project: str, model: str) -> str:
    """Return the key of a model's document."""
    return f"{project}.{model}"


def cause_of(message: Message) -> Cause:
    """Return how follow-ups name *message*."""
    return Cause(message.id, message.story_id, message.traceparent)
