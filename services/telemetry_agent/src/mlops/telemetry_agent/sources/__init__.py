# SPDX-License-Identifier: Apache-2.0
"""What begins in the agent without a message: looking at the hardware, and keeping the node's name."""
