# SPDX-License-Identifier: Apache-2.0
"""Replay: recorded windows judged again by other limits; nothing of the running service imports it."""
