# SPDX-License-Identifier: Apache-2.0
"""The client's reference: every public class and call of `mlops.client` with its signature and docstring, as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

from mlops.client import (
    AsyncMLOpsClient,
    Dataset,
    Delivery,
    Deployment,
    MLOpsClient,
    ModelHandle,
    Run,
    Workflow,
    create_client,
    errors,
)
from mlops.client.api.monitoring import MonitorResult
from mlops.client.callbacks.mlx import MLXCallback
from mlops.client.callbacks.saving import SaveOnRequest
from mlops.client.checkpoints import Checkpoints, Request

_HEAD = """# The Python client

Written by `just reference` from the docstrings of `mlops.client`; do not edit it by hand.

`from mlops.client import MLOpsClient, create_client`. How it never loses what is logged, and where it finds the platform:
[README of the client](../../libs/client/README.md). Times end in their unit: `timeout_s` is seconds, `at_ms` milliseconds
since 1970 (UTC).
"""
_CLASSES = (
    MLOpsClient,
    Run,
    ModelHandle,
    Delivery,
    Dataset,
    Deployment,
    Workflow,
    MonitorResult,
    MLXCallback,
    Checkpoints,
    Request,
    SaveOnRequest,
    AsyncMLOpsClient,
)
_PLAIN = ("__init__",)
_EXAMPLE = "Example:"
_QUOTED = re.compile(r"(: |-> )'([^']*)'")


def page() -> str:
    """Return the whole page; the same code gives the same page."""
    parts = [_HEAD, _entry("##", f"create_client{_signature(create_client)}", create_client)]
    for kind in _CLASSES:
        parts.append(_entry("##", f"class {kind.__name__}", kind))
        parts += [_entry("###", title, found) for title, found in _members(kind)]
    parts += ["## Errors\n", *(_error(kind) for kind in _errors())]
    return "\n".join(parts)


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Yield title and object of every public member, in the order of the source, base classes first."""
    seen: set[str] = set()
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("mlops.client"):
            continue
        for name in vars(base):
            public = not name.startswith("_") or name in _PLAIN
            if not public or name in seen or vars(kind).get(name, "") is None:
                continue
            seen.add(name)
            found = inspect.getattr_static(kind, name)
            if title := _title(name, found):
                yield title, found


def _title(name: str, found: object) -> str:
    if isinstance(found, property):
        return name
    function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
    if not inspect.isfunction(function) or not function.__doc__:
        return ""  # fields of data classes stand in the class's own words
    return f"{name}{_signature(function)}"


def _signature(function: object) -> str:
    told = inspect.signature(function)  # type: ignore[arg-type] # only functions come here
    named = [one for one in told.parameters.values() if one.name not in ("self", "cls")]
    # Annotations are texts; those of defaults keep their quotes.
    return _QUOTED.sub(r"\1\2", str(told.replace(parameters=named)))


def _entry(level: str, title: str, found: object) -> str:
    return f"{level} `{title}`\n\n{_text(inspect.getdoc(found) or '')}\n"


def _text(told: str) -> str:
    """Return a docstring as Markdown: its example becomes a block of code."""
    before, example, after = told.partition(_EXAMPLE)
    if not example:
        return told
    if after.startswith("\n"):
        return f"{before.rstrip()}\n\n```python\n{textwrap.dedent(after.strip(chr(10)))}\n```"
    return f"{before.rstrip()}\n\nExample:{after}"


def _errors() -> list[type]:
    own = (one for one in vars(errors).values() if inspect.isclass(one))
    return [one for one in own if issubclass(one, Exception) and one.__module__ == errors.__name__]


def _error(kind: type) -> str:
    base = "" if kind.__base__ is Exception else f" (a `{kind.__base__.__name__}`)"  # type: ignore[union-attr] # classes have one
    return f"- `{kind.__name__}`{base}: {inspect.getdoc(kind)}"
