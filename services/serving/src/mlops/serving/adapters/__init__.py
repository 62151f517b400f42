# SPDX-License-Identifier: Apache-2.0
"""Vendors: MLflow and BentoML (packing), Ray Serve (running), the replica, and the bus as a log."""
