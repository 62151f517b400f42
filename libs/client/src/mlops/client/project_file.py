# SPDX-License-Identifier: Apache-2.0
"""Reads a project's settings: `mlops.toml`, or `[tool.mlops]` of `pyproject.toml`; strictly, with the fix of each fault."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mlops.client.errors import FieldProblem, ProjectFileError
from mlops.contracts.datasets import remote_problem
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.units import unknown_words

MLOPS_TOML = "mlops.toml"
PYPROJECT = "pyproject.toml"
_NAME_FIX = 'write name = "…" with a-z, 0-9 and -, at most 63 characters'


@dataclass(frozen=True)
class ProjectFile:
    """The settings of a project, the folder of its code, and the file they stand in."""

    settings: ProjectSettings
    folder: Path
    file: Path

    @property
    def name(self) -> str:
        """Return the project's name."""
        return self.settings.name


def find_project_file(start: Path | None = None) -> Path:
    """Return the project file in *start* or above; a file is taken as it is.

    Raises ProjectFileError when there is none.
    """
    here = (start or Path.cwd()).expanduser().resolve()
    if here.is_file():
        return here
    for folder in (here, *here.parents):
        if (folder / MLOPS_TOML).is_file():
            return folder / MLOPS_TOML
        pyproject = folder / PYPROJECT
        if pyproject.is_file() and "mlops" in _tool(_parsed(pyproject)):
            return pyproject
    fix = f'write {MLOPS_TOML} with name = "my-project" beside the code, or name its folder'
    raise ProjectFileError(str(here), (FieldProblem(MLOPS_TOML, "not here or above", fix),))


def load_project_file(start: Path | None = None) -> ProjectFile:
    """Return the project in *start* or above; ProjectFileError names file, field, problem and fix."""
    file = find_project_file(start)
    table = _parsed(file)
    if file.name == PYPROJECT:
        table = _own(file, _tool(table))
    return ProjectFile(_settings(file, table), file.parent, file)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        problem = FieldProblem(
            "(syntax)", str(error), "correct the line; https://toml.io shows how"
        )
        raise ProjectFileError(str(file), (problem,)) from error
    except (OSError, UnicodeDecodeError) as error:
        problem = FieldProblem("(file)", str(error), "make it readable UTF-8 text")
        raise ProjectFileError(str(file), (problem,)) from error


def _tool(table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("tool")
    return found if isinstance(found, dict) else {}


def _own(file: Path, tool: dict[str, Any]) -> dict[str, Any]:
    own = tool.get("mlops")
    if isinstance(own, dict):
        return own
    problem = FieldProblem("tool.mlops", "is missing", 'add [tool.mlops] with name = "…"')
    raise ProjectFileError(str(file), (problem,))


def _settings(file: Path, table: dict[str, Any]) -> ProjectSettings:
    try:
        settings = ProjectSettings.model_validate(table, extra="forbid")
    except ValidationError as error:
        raise ProjectFileError(str(file), tuple(_problems(error))) from error
    unknown = tuple(
        FieldProblem(at, "unknown word", f"use one of: {words}")
        for at, words in unknown_words(settings.model_dump())
    )
    if unknown:
        raise ProjectFileError(str(file), unknown)
    if problem := remote_problem(settings.data.remote):
        raise ProjectFileError(str(file), (FieldProblem("data.remote", problem, ""),))
    return settings


def _problems(error: ValidationError) -> Iterator[FieldProblem]:
    for item in error.errors(include_url=False, include_input=False):
        place = tuple(str(step) for step in item["loc"])
        at = ".".join(place) or "(whole)"
        if item["type"] == "extra_forbidden":
            yield FieldProblem(at, "unknown field", _nearest(place))
        elif item["type"] == "missing":
            yield FieldProblem(at, "is missing", _NAME_FIX if at == "name" else f"add {at}")
        else:
            yield FieldProblem(at, str(item["msg"]), _NAME_FIX if at == "name" else "")


def _nearest(place: tuple[str, ...]) -> str:
    known = _fields(ProjectSettings, place[:-1])
    close = get_close_matches(place[-1], known, n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here are: {', '.join(sorted(known))}" if known else "remove it"


def _fields(kind: type[BaseModel], place: tuple[str, ...]) -> list[str]:
    for step in place:
        field = kind.model_fields.get(step)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return []
        kind = inner
    return list(kind.model_fields)


def _model_of(annotation: object) -> type[BaseModel] | None:
    options = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    models = (one for one in options if isinstance(one, type) and issubclass(one, BaseModel))
    return next(models, None)


__all__ = ["ProjectFile", "ProjectFileError", "find_project_file", "load_project_file"]
