# SPDX-License-Identifier: Apache-2.0
"""orchestration_bridge: see app.py first."""
