# SPDX-License-Identifier: Apache-2.0
"""Supervisor: one small process that keeps all others running; nothing here imports a heavy library."""
