# SPDX-License-Identifier: Apache-2.0
"""What can stop an agent."""

from mlops.chassis.errors import RejectedError


class AlreadyRunningError(RejectedError):
    """Another agent has the same folder of state."""
