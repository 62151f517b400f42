# SPDX-License-Identifier: Apache-2.0
"""What the gateway decides and remembers; pure: no bus, no clock, no vendor."""
