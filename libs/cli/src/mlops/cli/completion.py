# SPDX-License-Identifier: Apache-2.0
"""Completion: names from the running platform while a word is typed; silently none when it does not answer at once.

The shell evaluates what it is offered: names it could obey are left out, notes are words only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.home import find_home
from mlops.cli.output import harmless

_QUICK_S = 1.0
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+/-]*")
_NO_WORD = re.compile(r"[^\w ,.=/-]")
_LONGEST_NOTE = 100
_Names = Iterable[tuple[str, str]]


def projects(incomplete: str) -> list[tuple[str, str]]:
    """Return the projects that begin so."""
    return _offered(incomplete, _projects)


def models(incomplete: str) -> list[tuple[str, str]]:
    """Return the registered models that begin so."""
    return _offered(incomplete, _models)


def workflows(incomplete: str) -> list[tuple[str, str]]:
    """Return the workflows that begin so."""
    return _offered(incomplete, _workflows)


def runs(incomplete: str) -> list[tuple[str, str]]:
    """Return the newest runs that begin so."""
    return _offered(incomplete, _runs)


def _offered(incomplete: str, ask: Callable[[Gateway], _Names]) -> list[tuple[str, str]]:
    try:
        with Gateway(find_home(None, os.environ, Path.cwd()), call_s=_QUICK_S) as gateway:
            found = dict(offerable(ask(gateway)))
    except (CliError, OSError, AttributeError, LookupError, TypeError, ValueError):
        return []  # a person who types must not read about it
    return [(name, note) for name, note in found.items() if name.startswith(incomplete)]


def offerable(found: _Names) -> _Names:
    """Yield what a shell may be given."""
    for name, note in found:
        if _PLAIN.fullmatch(name):
            words = _NO_WORD.sub("", harmless(" ".join(note.split())))
            yield name, words[:_LONGEST_NOTE]


def _projects(gateway: Gateway) -> _Names:
    for one in gateway.get("/api/v1/projects")["projects"]:
        yield str(one["project"]), str(one.get("description") or "")


def _models(gateway: Gateway) -> _Names:
    for one in _overview(gateway)["models"]:
        yield str(one["model"]), f"model of {one['project']}"


def _workflows(gateway: Gateway) -> _Names:
    for one in _overview(gateway)["workflows"]:
        yield str(one["workflow_key"]), f"{one['kind']}, {one['state']}"


def _runs(gateway: Gateway) -> _Names:
    for one in gateway.query("tracking", "runs", limit=50)["runs"]:
        yield str(one["run_id"]), f"{one.get('name') or ''} {one.get('status') or ''}".strip()


def _overview(gateway: Gateway) -> Mapping[str, Any]:
    found: Mapping[str, Any] = gateway.get("/api/v1/overview")
    return found
