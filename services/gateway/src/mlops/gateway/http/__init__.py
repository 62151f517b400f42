# SPDX-License-Identifier: Apache-2.0
"""People and programs in: commands and queries, inference, live events, the status page."""
