# SPDX-License-Identifier: Apache-2.0
"""Sampler: what the machine and this process do during a run, and what it all came to."""

from mlops.client.hardware.node import reader
from mlops.client.hardware.sampler import Sampler

__all__ = ["Sampler", "reader"]
