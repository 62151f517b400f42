# SPDX-License-Identifier: Apache-2.0
"""Why a step ends badly: for good, for now, or because somebody stopped it."""

from __future__ import annotations


class StepError(Exception):
    """The step failed; the message says what, which, and the fix."""

    exit_status = 70


class PermanentError(StepError):
    """Trying again cannot help: the project or its settings must change."""

    exit_status = 65


class PassingError(StepError):
    """A part of the platform was away; trying again may help."""

    exit_status = 69


class DamagedError(PassingError):
    """What is stored is not what was stored; something older may do."""


class StoppedError(StepError):
    """SIGTERM: somebody, or the platform, ended the workflow."""

    exit_status = 143


class FencedError(StepError):
    """A newer attempt of the workflow has begun: whatever this one still did would be done twice."""

    exit_status = 65

    def __init__(self) -> None:
        super().__init__(
            "another attempt of this workflow has begun, so this one ends and changes nothing"
        )


class LeftError(StepError):
    """The command left at a request, to go on later: 75 when its checkpoint is kept, 76 when it begins anew."""

    def __init__(self, reason: str, *, saved: bool) -> None:
        super().__init__(reason)
        self.exit_status = 75 if saved else 76
