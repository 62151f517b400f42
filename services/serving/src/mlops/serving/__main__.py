# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.serving` runs the service."""

from mlops.chassis.service import main
from mlops.serving.app import build
from mlops.serving.settings import Settings

if __name__ == "__main__":
    main("serving", Settings, build)
