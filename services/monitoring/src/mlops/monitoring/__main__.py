# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.monitoring` runs the service."""

from mlops.chassis.service import main
from mlops.monitoring.app import build
from mlops.monitoring.settings import Settings

if __name__ == "__main__":
    main("monitoring", Settings, build)
