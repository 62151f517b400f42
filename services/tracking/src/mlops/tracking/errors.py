# SPDX-License-Identifier: Apache-2.0
"""What is particular to tracking: an unknown model, and a store that cannot be opened."""

from __future__ import annotations

from mlops.chassis.errors import RejectedError, UnavailableError


class UnknownModelError(RejectedError):
    """A command names a model or a version that does not exist."""


class StoreError(UnavailableError):
    """The database of runs cannot be used; says which, why, and the fix."""
