# SPDX-License-Identifier: Apache-2.0
"""The one family of errors of the client: which part failed, at what, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


class MLOpsClientError(Exception):
    """Something the client was asked for did not work; `component`, `operation` and `hint` say what and what next."""

    def __init__(self, component: str, operation: str, problem: str, hint: str = "") -> None:
        super().__init__(component, operation, problem, hint)
        self.component = component
        self.operation = operation
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        """Return all of it in one line."""
        line = f"{self.component}: {self.operation}: {self.problem}"
        return f"{line} ({self.hint})" if self.hint else line


class NotRunningError(MLOpsClientError):
    """No installation was found, or it does not answer."""


class RefusedError(MLOpsClientError):
    """The platform understood and will not do it; sending it again cannot help."""


class NotFoundError(RefusedError):
    """The platform knows nothing of that name, or not yet."""


class NoAnswerError(MLOpsClientError):
    """What was waited for did not come in time; it may still come."""


@dataclass(frozen=True)
class FieldProblem:
    """One field of a project file that is wrong, and the fix."""

    field: str
    problem: str
    fix: str


class ProjectFileError(MLOpsClientError):
    """A project file cannot be used; `problems` names every field."""

    def __init__(self, file: str, problems: tuple[FieldProblem, ...]) -> None:
        told = "; ".join(
            f"{one.field}: {one.problem}" + (f", {one.fix}" if one.fix else "") for one in problems
        )
        super().__init__("project file", file, told)
        self.file = file
        self.problems = problems


class BadInputError(MLOpsClientError, ValueError):
    """What was given cannot be logged as it is; nothing of the call was taken."""


class SpoolError(MLOpsClientError):
    """The spool folder cannot be used for what was asked."""
