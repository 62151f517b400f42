# SPDX-License-Identifier: Apache-2.0
"""Checks: what MLflow would refuse later is refused at the call, with the fix."""

from __future__ import annotations

import math
import posixpath
import re
from pathlib import PurePosixPath
from typing import SupportsFloat

from mlops.client.errors import BadInputError

MOST_KEY = 250
MOST_PARAM = 6000
MOST_TAG = 8000
_KEY = re.compile(r"[/\w.\- :]+")


def key(name: object, what: str) -> str:
    """Return a name that MLflow takes; BadInputError otherwise."""
    if not isinstance(name, str):
        raise _bad(what, f"the name {name!r} is no text", "use a str")
    if not _KEY.fullmatch(name):
        hint = "use letters, digits and / _ . - : blank"
        raise _bad(what, f"the name {name!r} is empty or has characters that MLflow refuses", hint)
    if len(name) > MOST_KEY:
        raise _bad(
            what, f"the name {name[:40]!r}… has {len(name)} characters", f"at most {MOST_KEY}"
        )
    norm = posixpath.normpath(name)
    if norm != name or norm == "." or norm.startswith(("..", "/")):
        raise _bad(what, f"the name {name!r} is not a clean path", f"write {norm.lstrip('/.')!r}")
    return name


def number(value: object, name: str) -> bytes:
    """Return a number as JSON for MLflow, which reads NaN and infinities from text; BadInputError for anything else."""
    if type(value) is not float:
        value = _float(value, name)
    if math.isfinite(value):
        return repr(value).encode()
    if math.isnan(value):
        return b'"NaN"'
    return b'"Infinity"' if value > 0 else b'"-Infinity"'


def step(value: object) -> int:
    """Return a step; BadInputError when it is no whole number."""
    if type(value) is int:
        found = value
    else:
        try:
            found = int(value)  # type: ignore[call-overload]  # what is no number is told below
        except (TypeError, ValueError, OverflowError) as error:
            raise _bad("log metrics", f"step {value!r} is no whole number", "use an int") from error
        if found != value:
            raise _bad("log metrics", f"step {value!r} is no whole number", "use an int")
    if not -(2**63) <= found < 2**63:
        raise _bad("log metrics", f"step {found} does not fit into 64 bits", "use a smaller one")
    return found


def artifact_path(path: str, operation: str) -> str:
    """Return a relative path without `..`; BadInputError otherwise."""
    parts = PurePosixPath(path).parts
    bad = (
        path.startswith("/")
        or "\\" in path
        or ".." in parts
        or any(letter < " " for letter in path)
    )
    if bad or re.match(r"[A-Za-z]:", path):
        hint = "give a relative path with / and without .."
        raise _bad(operation, f"{path!r} would leave the run's artifacts", hint)
    return "/".join(part for part in parts if part != ".")


def _float(value: object, name: str) -> float:
    if isinstance(value, str | bytes) or value is None or isinstance(value, complex):
        raise _bad("log metrics", f"{name} is {value!r}, which is no number", "log a float")
    if not isinstance(value, SupportsFloat):
        told = f"{name} is a {type(value).__name__}, which is no number"
        raise _bad("log metrics", told, "log a float, for example x.item()")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        told = f"{name} is {type(value).__name__} that is no single number: {error}"
        raise _bad("log metrics", told, "log a float, for example x.mean().item()") from error


def _bad(operation: str, problem: str, hint: str) -> BadInputError:
    return BadInputError("run", operation, problem, hint)
