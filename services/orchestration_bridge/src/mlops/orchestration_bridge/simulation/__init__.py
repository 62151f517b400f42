# SPDX-License-Identifier: Apache-2.0
"""What if: the bridge's own decisions, and simpler ones, tried on simulated machines that get hot. Pure and seeded."""
