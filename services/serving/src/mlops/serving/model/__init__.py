# SPDX-License-Identifier: Apache-2.0
"""The decisions of serving: pure, of plain values, without a clock."""
