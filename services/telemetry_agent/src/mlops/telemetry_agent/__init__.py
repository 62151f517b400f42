# SPDX-License-Identifier: Apache-2.0
"""What the hardware of this machine does, one agent per machine. Read `app` first."""
