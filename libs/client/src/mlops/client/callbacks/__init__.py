# SPDX-License-Identifier: Apache-2.0
"""What training loops call while they train."""
