# SPDX-License-Identifier: Apache-2.0
"""What starts without a message: the dispatcher, which admits, starts, looks and tells."""
