# SPDX-License-Identifier: Apache-2.0
"""gRPC: the Open Inference Protocol's second form, told on as its first."""
