# SPDX-License-Identifier: Apache-2.0
"""serving: see app.py first."""
