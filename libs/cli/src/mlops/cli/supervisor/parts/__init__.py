# SPDX-License-Identifier: Apache-2.0
"""Parts: how each tool and service of the platform is started on one machine."""
