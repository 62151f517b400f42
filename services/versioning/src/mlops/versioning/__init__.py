# SPDX-License-Identifier: Apache-2.0
"""Dataset versions around DVC, one writer per project. Read `app` first."""
