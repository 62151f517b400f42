# SPDX-License-Identifier: Apache-2.0
"""The decisions of tracking: gate.py (who becomes champion); and what it speaks of: facts.py, changes.py."""
