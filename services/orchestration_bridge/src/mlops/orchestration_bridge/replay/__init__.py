# SPDX-License-Identifier: Apache-2.0
"""Replay: the policy played again over a recorded history, with other settings; nothing of the running service imports it."""
