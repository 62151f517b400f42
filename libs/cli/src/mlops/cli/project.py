# SPDX-License-Identifier: Apache-2.0
"""Project: which one a command means: the named one, or the one whose folder this is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.errors import InputError

if TYPE_CHECKING:
    from mlops.client.errors import ProjectFileError
    from mlops.client.project_file import ProjectFile


def project_named(given: str, folder: Path) -> str:
    """Return the project's name."""
    if given:
        return given
    from mlops.client.project_file import (  # noqa: PLC0415 - slow to import; help does without
        ProjectFileError,
        load_project_file,
    )

    try:
        return load_project_file(folder).name
    except ProjectFileError as error:
        raise InputError(
            "which project is not clear: " + str(error), "name it: --project NAME"
        ) from error


def project_here(folder: Path) -> ProjectFile:
    """Return the project of a folder; InputError names every field that is wrong."""
    from mlops.client.project_file import (  # noqa: PLC0415 - slow to import; help does without
        ProjectFileError,
        load_project_file,
    )

    try:
        return load_project_file(folder)
    except ProjectFileError as error:
        raise unusable(error) from error


def unusable(error: ProjectFileError) -> InputError:
    """Return the faults of a project file as an error of ours."""
    wrong = "".join(f"\n  {one.field}: {one.problem}" for one in error.problems)
    fixes = dict.fromkeys(one.fix for one in error.problems if one.fix)
    return InputError(f"{error.file} cannot be used:{wrong}", "; ".join(fixes))
