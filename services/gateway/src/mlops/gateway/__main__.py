# SPDX-License-Identifier: Apache-2.0
"""Runs the gateway: `python -m mlops.gateway`."""

from mlops.chassis.service import main
from mlops.gateway.app import build
from mlops.gateway.settings import Settings

main("gateway", Settings, build)
