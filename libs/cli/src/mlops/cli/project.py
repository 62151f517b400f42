# SPDX-License-Identifier: Apache-2.0
"""Project: which one a command means: the named one, or the one whose folder this is."""

from __future__ import annotations

from pathlib import Path

from mlops.cli.errors import InputError
from mlops.client.project_file import ProjectFileError, load_project_file


def project_named(given: str, folder: Path) -> str:
    """Return the project's name."""
    if given:
        return given
    try:
        return load_project_file(folder).name
    except ProjectFileError as error:
        raise InputError(
            "which project is not clear: " + str(error), "name it: --project NAME"
        ) from error
