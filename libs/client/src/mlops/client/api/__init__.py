# SPDX-License-Identifier: Apache-2.0
"""The calls of the client, by subject; MLOpsClient is all of them together."""
