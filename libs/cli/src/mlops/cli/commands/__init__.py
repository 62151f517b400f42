# SPDX-License-Identifier: Apache-2.0
"""Commands: one module per group of what people can type after `mlops`."""
