# SPDX-License-Identifier: Apache-2.0
"""MLflow and its database behind the ports; memory.py is the fake that the same tests hold."""
