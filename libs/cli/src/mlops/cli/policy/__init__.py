# SPDX-License-Identifier: Apache-2.0
"""Policies that are tried on a recorded history: which ones, on what, and how the result is shown."""
