# SPDX-License-Identifier: Apache-2.0
"""monitoring: see app.py first."""
