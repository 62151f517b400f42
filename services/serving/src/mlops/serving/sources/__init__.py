# SPDX-License-Identifier: Apache-2.0
"""World in: the reconciler that drives every rollout, and the logs that dead replicas left behind."""
