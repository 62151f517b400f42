# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.tracking` runs the service."""

from mlops.chassis.service import main
from mlops.tracking.app import build
from mlops.tracking.settings import Settings

if __name__ == "__main__":
    main("tracking", Settings, build)
