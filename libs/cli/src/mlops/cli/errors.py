# SPDX-License-Identifier: Apache-2.0
"""What can go wrong at the command line, and the exit code each gives: 1 failed, 2 input, 3 not running."""

from __future__ import annotations

from typing import ClassVar


class CliError(Exception):
    """Something failed; *what* names it, *fix* says what to do."""

    code: ClassVar[int] = 1

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class InputError(CliError):
    """What the caller gave cannot be used."""

    code: ClassVar[int] = 2


class DeniedError(CliError):
    """The platform does not let the caller in: asking again does not help."""


class NotRunningError(CliError):
    """The platform, or the part that is needed, is not running."""

    code: ClassVar[int] = 3
