# SPDX-License-Identifier: Apache-2.0
"""Runs: what is logged to MLflow, through the spool."""

from mlops.client.runs.begin import attach, current, start
from mlops.client.runs.channel import Channel
from mlops.client.runs.modelling import ModelHandle
from mlops.client.runs.run import Run

__all__ = ["Channel", "ModelHandle", "Run", "attach", "current", "start"]
