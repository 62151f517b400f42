# SPDX-License-Identifier: Apache-2.0
"""DVC (in a process of its own), the registry in SQLite, and what stands in for them in tests."""
