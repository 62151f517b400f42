# SPDX-License-Identifier: Apache-2.0
"""Two reasons to wait that are the orchestrator's, not the bus's."""

from __future__ import annotations

from mlops.chassis.errors import UnavailableError


class PipelineNotReadyError(UnavailableError):
    """The orchestrator is there but has not read the project's pipeline yet; telling it again helps."""


class OrchestratorAwayError(UnavailableError):
    """The orchestrator does not answer, or its files cannot be written; workflows wait until it does."""
