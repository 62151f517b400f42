# SPDX-License-Identifier: Apache-2.0
"""What the bridge decides: who may queue, who may start, what to say of an end. Pure."""
