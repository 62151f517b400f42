# SPDX-License-Identifier: Apache-2.0
"""Who reads what: the `bus.on(…)` tables of the services' `app.py`, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.message import Message

_KINDS = {kind.__name__: kind for kind in CATALOGUE.values()}


class UnreadableWireError(ValueError):
    """A table of subscriptions is not written plainly enough to be read."""


@dataclass(frozen=True)
class Wire:
    """One service reads one kind of message."""

    service: str
    kind: type[Message]


def read_wires(services: Path) -> list[Wire]:
    """Return every subscription of every service below *services*, by service and type.

    A service is called on the bus as its folder is.
    Raises UnreadableWireError when a table names something that is not in the catalogue.
    """
    found = {
        (wire.service, wire.kind.type): wire
        for path in sorted(services.glob("*/src/mlops/*/app.py"))
        for wire in _wires_of(path)
    }
    return [found[key] for key in sorted(found)]


def _wires_of(path: Path) -> Iterator[Wire]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    named = _loop_variables(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_subscription(node):
            for kind in named.get(_name(node.args[1]), [node.args[1]]):
                yield Wire(path.parent.name, _kind(kind, path))


def _is_subscription(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "on" and len(call.args) > 2  # noqa: PLR2004 - service, kind, handler


def _loop_variables(tree: ast.Module) -> dict[str, list[ast.expr]]:
    return {
        _name(node.target): node.iter.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple | ast.List)
    }


def _kind(node: ast.expr, path: Path) -> type[Message]:
    if (name := _name(node)) in _KINDS:
        return _KINDS[name]
    raise UnreadableWireError(
        f"{path}:{node.lineno}: {ast.unparse(node)!r} is no message of the catalogue; "
        "write the class itself, or loop over a tuple of classes"
    )


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
