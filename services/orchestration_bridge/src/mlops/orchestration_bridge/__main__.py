# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.orchestration_bridge` runs the service."""

from mlops.chassis.service import main
from mlops.orchestration_bridge.app import build
from mlops.orchestration_bridge.settings import Settings

if __name__ == "__main__":
    main("orchestration_bridge", Settings, build)
