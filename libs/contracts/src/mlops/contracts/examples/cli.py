# SPDX-License-Identifier: Apache-2.0
"""Example messages of the command line: one check of a validation suite."""

from __future__ import annotations

from mlops.contracts.cli import Outcome, ValidationFinished
from mlops.contracts.message import Message

EXAMPLES: tuple[Message, ...] = (
    ValidationFinished(
        project="rainfall",
        suite="closed-loop",
        check="accuracy recovers",
        outcome=Outcome.PASSED,
        figures={"accuracy_ratio": 0.78, "recovery_s": 74.5},
        note="One retraining was enough.",
    ),
)
