# SPDX-License-Identifier: Apache-2.0
"""Aside: changes of a dataset that no version holds are never lost: they are kept under another name."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from mlops.client.errors import BadInputError

IN_THE_WAY = "no version holds"  # what versioning says of them
_MOST = 1000
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True)
class Aside:
    """Where the content of a dataset was, and where it is now."""

    content: Path
    kept: Path

    def put_back(self) -> bool:
        """Undo it; False when something else has come in its place."""
        return not os.path.lexists(self.content) and _move(self.kept, self.content)


def move_aside(content: Path) -> Aside:
    """Move a file or folder to `<name>.local`, `<name>.local1` …: the first free name, and never over something.

    Not even over what another process puts there meanwhile. BadInputError when there is nothing to move, or no name.
    """
    if not os.path.lexists(content):
        told, hint = f"{content} is not on this machine", "do it where the project's folder is"
        raise BadInputError("data", "put aside", told, hint)
    for number in range(_MOST):
        place = content.with_name(f"{content.name}.local{number or ''}")
        if not os.path.lexists(place) and _move(content, place):
            return Aside(content, place)
    told = f"{content.name}.local to {content.name}.local{_MOST - 1} are all there"
    raise BadInputError("data", "put aside", told, f"move some of them away from {content.parent}")


def _move(content: Path, place: Path) -> bool:
    """Move it unless the place is taken."""
    try:
        if content.is_dir() and not content.is_symlink():
            place.mkdir()  # claims the name: a folder may take the place of an empty one
        else:
            os.link(content, place, follow_symlinks=False)
            content.unlink()
            return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    content.rename(place)
    return True
