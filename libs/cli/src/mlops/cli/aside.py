# SPDX-License-Identifier: Apache-2.0
"""Aside: what is in the way of a version is put aside while the version comes, and back when it is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.client.aside import IN_THE_WAY, Aside, move_aside
from mlops.client.errors import BadInputError

MOST_VERSIONS = 200  # what versioning tells in one answer


@contextlib.contextmanager
def put_aside(gateway: Gateway, project: str, wish: dict[str, Any]) -> Iterator[Aside]:
    """Move the present content of a dataset to `<name>.local`, and back when the version is refused after all.

    Where nobody knows what became of it the version may still come: then the content stays aside, and that is said.
    Raises InputError when the content is not on this machine.
    """
    try:
        aside = move_aside(_place(gateway, project, wish))
    except BadInputError as error:
        raise InputError(error.problem, error.hint) from error
    try:
        yield aside
    except BaseException as error:
        if not (isinstance(error, InputError) and aside.put_back()):
            _tell(error, f"what was there is kept as {aside.kept}")
        raise


def _tell(error: BaseException, where: str) -> None:
    if isinstance(error, CliError):
        error.what += f"; {where}"
    else:  # interrupted: nothing of the error is shown
        output.errors().print(where, soft_wrap=True)


def _place(gateway: Gateway, project: str, wish: dict[str, Any]) -> Path:
    known = gateway.get("/api/v1/projects")["projects"]
    folder = next((one["path"] for one in known if one["project"] == project), "")
    dataset, asked = wish["name"], {"project": project, "name": wish["name"]}
    versions = gateway.query("versioning", "versions", **asked, limit=MOST_VERSIONS)["versions"]
    if not folder or not versions:
        raise InputError(
            f"dataset {dataset!r} of {project} is not known", "`mlops data list` shows them"
        )
    wanted = str(wish.get("version") or wish.get("alias") or "")
    meant = [one for one in versions if wanted in (str(one["version"]), *one.get("aliases", ()))]
    return Path(folder, (meant or versions)[-1]["path"])


__all__ = ["IN_THE_WAY", "MOST_VERSIONS", "Aside", "put_aside"]
