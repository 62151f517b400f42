# SPDX-License-Identifier: Apache-2.0
"""What a simulation found, for people: figures, tables, and where ours does not help."""
