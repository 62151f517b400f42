# SPDX-License-Identifier: Apache-2.0
"""What workspaces is told at start: nothing beyond what every service needs."""

from __future__ import annotations

from mlops.chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of workspaces."""
