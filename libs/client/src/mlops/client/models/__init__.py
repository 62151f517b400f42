# SPDX-License-Identifier: Apache-2.0
"""`save(model, folder, name=…)`: any model as a folder that every MLflow client loads."""

from mlops.client.adapters.order import ModelWarning
from mlops.client.models.saving import Package, save

__all__ = ["ModelWarning", "Package", "save"]
