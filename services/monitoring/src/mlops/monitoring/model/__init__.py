# SPDX-License-Identifier: Apache-2.0
"""What monitoring decides: windows, drift against a frozen reference, performance, alarms. All pure."""
