# SPDX-License-Identifier: Apache-2.0
"""`from mlops.client import MLOpsClient`: the platform for training code and notebooks; light on purpose."""

from mlops.client.client import MLOpsClient, Workflow
from mlops.client.errors import MLOpsClientError

__all__ = ["MLOpsClient", "MLOpsClientError", "Workflow"]
