# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.versioning` runs the service."""

from mlops.chassis.service import main
from mlops.versioning.app import build
from mlops.versioning.settings import Settings

if __name__ == "__main__":
    main("versioning", Settings, build)
