# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.cli`: the same as `mlops`, for callers that know only a Python."""

from mlops.cli.main import app

app(prog_name="mlops")
