# SPDX-License-Identifier: Apache-2.0
"""Changes: settings that are tried instead of a project's own, by their dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mlops.contracts.settings import ProjectSettings
from mlops.contracts.units import unknown_words
from mlops.orchestration_bridge.replay.played import Change
from mlops.orchestration_bridge.replay.reading import HistoryError


def change_of(wanted: Mapping[str, object]) -> Change:
    """Return what makes the tried settings of a project's own, whichever those are at the time."""

    def change(settings: ProjectSettings) -> ProjectSettings:
        return changed(settings, wanted) if wanted else settings

    return change


def changed(settings: ProjectSettings, wanted: Mapping[str, object]) -> ProjectSettings:
    """Return the settings with those of *wanted* instead; HistoryError names a value that does not fit."""
    tree = settings.model_dump(mode="json")
    for name, value in wanted.items():
        _put(tree, name, value)
    try:
        found = ProjectSettings.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise HistoryError(f"{where}: {first['msg']}") from error
    for where, words in unknown_words({n: _at(found.model_dump(), n) for n in wanted}):
        raise HistoryError(f"{where}: no such word; there are {words}")
    return found


def _put(tree: dict[str, Any], name: str, value: object) -> None:
    *path, last = name.split(".")
    for step in path:
        tree = tree.get(step) or {}
    if last not in tree:
        raise HistoryError(f"no setting {name!r}")
    tree[last] = value


def _at(tree: Any, name: str) -> object:
    for step in name.split("."):
        tree = tree[step]
    return tree
