# SPDX-License-Identifier: Apache-2.0
"""LocalFolders: the folders of this machine."""

from __future__ import annotations

import os
from pathlib import Path


class LocalFolders:
    """Look at the file system."""

    def problem(self, path: str) -> str | None:
        """Return why *path* cannot be a project's folder, or None."""
        folder = Path(path)
        if not folder.is_absolute():
            return f"path {path!r} is not absolute; give the full path of the project's folder"
        if not folder.exists():
            return f"path {path!r} does not exist on this machine; create the folder or correct the path"
        if not folder.is_dir():
            return f"path {path!r} is not a folder; give the folder that holds mlops.toml"
        if not os.access(folder, os.R_OK | os.X_OK):
            return (
                f"path {path!r} cannot be read by the platform; allow its user to read and enter it"
            )
        return None
