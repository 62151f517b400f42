# SPDX-License-Identifier: Apache-2.0
"""What the bridge needs of the world: an orchestrator, and books that survive it."""
