# SPDX-License-Identifier: Apache-2.0
"""What readings mean: one ladder of heat, windows, episodes, and a thermal model. Pure."""
