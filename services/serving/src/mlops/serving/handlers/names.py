# SPDX-License-Identifier: Apache-2.0
"""How serving and the causes of what it does are called in messages."""

from __future__ import annotations

from mlops.contracts.message import Message
from mlops.serving.model.rollout import Cause

NAME = "serving"


def cause_of(message: Message) -> Cause:
    """Return how follow-ups name *message*."""
    return Cause(message.id, message.story_id, message.traceparent)
