# SPDX-License-Identifier: Apache-2.0
"""Aside: changes of a dataset that no version holds are never lost: they are kept under another name."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway

IN_THE_WAY = "no version holds"
MOST_VERSIONS = 200  # what versioning tells in one answer
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


@contextlib.contextmanager
def put_aside(gateway: Gateway, project: str, wish: dict[str, Any]) -> Iterator[Aside]:
    """Move the present content of a dataset to `<name>.local`, and back when the block fails.

    Raises InputError when the content is not on this machine.
    """
    content = _place(gateway, project, wish)
    if not os.path.lexists(content):
        raise InputError(f"{content} is not on this machine", "do it where the project's folder is")
    aside = Aside(content, _moved(content))
    try:
        yield aside
    except BaseException as error:
        if not aside.put_back() and isinstance(error, CliError):
            error.what += f"; what was there is kept as {aside.kept}"
        raise


def _moved(content: Path) -> Path:
    """Move it to the first free name; never over something, not even what another process puts there meanwhile."""
    for number in range(_MOST):
        place = content.with_name(f"{content.name}.local{number or ''}")
        if not os.path.lexists(place) and _move(content, place):
            return place
    raise CliError(
        f"{content.name}.local to {content.name}.local{_MOST - 1} are all there",
        f"move some of them away from {content.parent}",
    )


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


def _place(gateway: Gateway, project: str, wish: dict[str, Any]) -> Path:
    known = gateway.get("/api/v1/projects")["projects"]
    folder = next((one["path"] for one in known if one["project"] == project), "")
    dataset, asked = wish["name"], {"project": project, "name": wish["name"]}
    versions = gateway.query("versioning", "versions", **asked, limit=MOST_VERSIONS)["versions"]
    if not folder or not versions:
        raise InputError(
            f"dataset {dataset!r} of {project} is not known", "`mlops data list` shows them"
        )
    meant = [one for one in versions if one["version"] == wish.get("version")]
    return Path(folder, (meant or versions)[-1]["path"])
