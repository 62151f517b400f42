# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.tracking` runs the service; with arguments, one of its commands."""

from mlops.chassis.service import main
from mlops.tracking.adapters.commands import did_command
from mlops.tracking.app import build
from mlops.tracking.settings import Settings

if __name__ == "__main__" and not did_command(Settings):
    main("tracking", Settings, build)
