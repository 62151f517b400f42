# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.telemetry_agent` runs the service."""

from mlops.chassis.service import main
from mlops.telemetry_agent.app import build
from mlops.telemetry_agent.settings import Settings

if __name__ == "__main__":
    main("telemetry_agent", Settings, build)
