# SPDX-License-Identifier: Apache-2.0
"""Two families of trouble with a server: it is away (try again), or it has refused (it never works)."""

from __future__ import annotations


class AwayError(Exception):
    """Nothing was said about the request itself; try again later."""


class LostAnswerError(AwayError):
    """The request was sent and no answer came: it may have been carried out."""


class FaultError(AwayError):
    """The server failed at this very request; a request that always fails is given up some day."""


class PlaceMissingError(AwayError):
    """The workspace or the experiment is not there (yet); somebody has to make it."""


class NotLetInError(AwayError):
    """The token or the password is wrong; correct ones let everything through."""


class RefusedByServerError(Exception):
    """The server understood and will not take it; sending it again cannot help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message


class RunGoneError(RefusedByServerError):
    """The run does not exist, or was deleted; nothing can be logged to it."""
