# SPDX-License-Identifier: Apache-2.0
"""Example messages of the gateway: a label that arrived later."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message

EXAMPLES: tuple[Message, ...] = (
    LabelRecorded(
        project="rainfall",
        model="rain",
        labels=(
            Label(
                request_id="day-3017",
                label=1,
                at=datetime(2026, 3, 2, 0, 0, 0, tzinfo=UTC),
                numbers=None,
            ),
            Label(
                request_id="day-3018",
                label=None,
                at=datetime(2026, 3, 2, 0, 0, 0, tzinfo=UTC),
                numbers=(0.5, 12.0, None),
            ),
        ),
    ),
)
