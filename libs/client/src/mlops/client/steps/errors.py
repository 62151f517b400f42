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

    exit_status = 75


class StoppedError(StepError):
    """SIGTERM: somebody, or the platform, ended the workflow."""

    exit_status = 143
