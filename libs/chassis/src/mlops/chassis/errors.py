# SPDX-License-Identifier: Apache-2.0
"""The two families of errors that cross the bus: try again, or never.

ChassisError
├── UnavailableError      something is away; the message comes again after a delay
└── RejectedError         it can never work; the message is dead-lettered at once
"""


class ChassisError(Exception):
    """Root of the errors that services raise on purpose."""


class UnavailableError(ChassisError):
    """Something that is needed is away or busy; trying again later may help."""


class RejectedError(ChassisError):
    """The message or the question can never be served; say what, which, and the fix."""


class ConflictError(UnavailableError):
    """Another replica changed the same document at the same time, again and again."""
