# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.workspaces` runs the service."""

from mlops.chassis.service import main
from mlops.workspaces.app import build
from mlops.workspaces.settings import Settings

if __name__ == "__main__":
    main("workspaces", Settings, build)
