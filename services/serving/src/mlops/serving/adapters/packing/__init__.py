# SPDX-License-Identifier: Apache-2.0
"""Packs versions of the registry as Bentos, keeps them, and moves them from one store to another."""
