# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a wish about a model, beside the two families of the chassis."""

from __future__ import annotations

from mlops.chassis.errors import RejectedError


class UnknownProjectError(RejectedError):
    """The project is not registered, or closed."""


class UnknownModelError(RejectedError):
    """Nothing of that name is, or can be, served."""


class EndpointTakenError(RejectedError):
    """Another project answers under the endpoint."""


class BrokenModelError(RejectedError):
    """The version's files cannot be packed or served; another version is needed."""
