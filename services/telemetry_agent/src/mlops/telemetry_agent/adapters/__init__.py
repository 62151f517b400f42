# SPDX-License-Identifier: Apache-2.0
"""One file per way to look at hardware, and the agent's state file."""
