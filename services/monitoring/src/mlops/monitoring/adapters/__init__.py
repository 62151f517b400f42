# SPDX-License-Identifier: Apache-2.0
"""The outside of monitoring: SQLite, Evidently, files; one file per vendor or store."""
