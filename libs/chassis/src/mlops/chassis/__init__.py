# SPDX-License-Identifier: Apache-2.0
"""What every service needs and none decides. Read `bus` first, then `service`."""
