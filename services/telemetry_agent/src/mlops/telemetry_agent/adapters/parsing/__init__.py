# SPDX-License-Identifier: Apache-2.0
"""Files of recordings in, HardwareSamples out: recognised by what is in them, read within bounds, told to people or as JSON."""
