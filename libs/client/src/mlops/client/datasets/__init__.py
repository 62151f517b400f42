# SPDX-License-Identifier: Apache-2.0
"""Datasets: versions read where they lie in the platform's cache, without a copy."""

from mlops.client.datasets.dataset import Dataset

__all__ = ["Dataset"]
