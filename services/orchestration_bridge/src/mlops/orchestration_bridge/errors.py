# SPDX-License-Identifier: Apache-2.0
"""One reason to wait that the chassis has no word for."""

from __future__ import annotations

from mlops.chassis.errors import UnavailableError


class PipelineNotReadyError(UnavailableError):
    """The orchestrator is there but has not read the project's pipeline yet; telling it again helps."""
