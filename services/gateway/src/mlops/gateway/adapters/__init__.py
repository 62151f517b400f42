# SPDX-License-Identifier: Apache-2.0
"""Where the gateway touches the world outside of the bus."""
