# SPDX-License-Identifier: Apache-2.0
"""Bus in: what serving reacts to and answers."""
