# SPDX-License-Identifier: Apache-2.0
"""tracking: see app.py first."""
