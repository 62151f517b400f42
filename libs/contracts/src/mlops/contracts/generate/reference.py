# SPDX-License-Identifier: Apache-2.0
"""The reference pages: every message, and every setting of `mlops.toml`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlops.contracts.catalogue import CATALOGUE, owner
from mlops.contracts.generate.asyncapi import readers, tellers
from mlops.contracts.generate.schemas import data_schema
from mlops.contracts.generate.wires import Wire
from mlops.contracts.message import Command, Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.units import DURATION_PATTERN

_WRITTEN = "<!-- Written by `just contracts`; edit the messages instead. -->\n\n"
_MESSAGES = """# Messages

Every message is a CloudEvent (structured JSON) on the NATS subject `<type>.<project>`, or `<type>.<node>` for
hardware. A field marked \\* is always there; the others may be missing. Schemas:
[`schemas/`](../../libs/contracts/schemas), examples: [`examples/`](../../libs/contracts/examples), the whole as
AsyncAPI: [`asyncapi.json`](../../libs/contracts/asyncapi.json).
"""
_SETTINGS = """# mlops.toml

What a project says about itself, in `mlops.toml` or under `[tool.mlops]` of `pyproject.toml`. Only `name` is needed.
"""


def messages_page(wires: list[Wire]) -> str:
    """Return the page of all messages, by owner."""
    kinds = list(CATALOGUE.values())
    owners = list(dict.fromkeys(owner(kind) for kind in kinds))
    overview = _table(
        ["type", "told by", "read by", "means"],
        ([_link(kind), *_parties(kind, wires), _means(kind)] for kind in kinds),
    )
    parts = [_section(kind) for name in owners for kind in kinds if owner(kind) == name]
    return _WRITTEN + _MESSAGES + "\n" + overview + "\n" + "\n".join(parts)


def settings_page() -> str:
    """Return the page of the project settings, by table."""
    schema = ProjectSettings.model_json_schema(mode="serialization")
    parts = [_SETTINGS, _fields(_scalars(schema, schema), schema)]
    for name, it in schema["properties"].items():
        table = _resolved(it, schema)
        if "properties" in table:
            parts += [f"## `[{name}]`\n\n{_sentence(it, table)}\n", _fields(table, schema)]
    return _WRITTEN + "\n".join(parts)


def _section(kind: type[Message]) -> str:
    schema = data_schema(kind)
    text = f"## `{kind.type}`\n\n{_means(kind)}\n\n"
    subject = f"`{kind.type}.<{kind.scoped_by}>`"
    about = f", about its `{kind.about}`" if kind.about else ""
    text += f"Class `mlops.contracts.{owner(kind)}.{kind.__name__}`, subject {subject}{about}.\n\n"
    return text + (_fields(schema, schema) if schema["properties"] else "It has no fields.\n")


def _fields(table: dict[str, Any], whole: dict[str, Any]) -> str:
    needed = set(table.get("required", []))
    return _table(["field", "type", "default", "meaning"], _rows(table, whole, needed, ""))


def _rows(
    table: dict[str, Any], whole: dict[str, Any], needed: set[str], prefix: str
) -> Iterator[list[str]]:
    for name, it in table["properties"].items():
        inner = _resolved(_inner(it), whole)
        many = "[]" if it.get("type") == "array" else ""
        mark = r" \*" if name in needed else ""
        yield [f"`{prefix}{name}`{mark}", _type(it, whole), _default(it), _sentence(it, inner)]
        if "properties" in inner:
            below = set(inner.get("required", []))
            yield from _rows(inner, whole, below, f"{prefix}{name}{many}.")


def _type(it: dict[str, Any], whole: dict[str, Any]) -> str:
    if "anyOf" in it:
        return " or ".join(_type(one, whole) for one in it["anyOf"])
    if "$ref" in it:
        resolved = _resolved(it, whole)
        return _type(resolved, whole) if "examples" in resolved else "object"
    if it.get("type") == "array":
        return f"list of {_type(it['items'], whole)}"
    if isinstance(it.get("additionalProperties"), dict):
        return f"name to {_type(it['additionalProperties'], whole)}"
    return _plain_type(it)


def _plain_type(it: dict[str, Any]) -> str:
    if "examples" in it:
        return ", ".join(f"`{word}`" for word in it["examples"])
    if it.get("pattern") == DURATION_PATTERN:
        return "duration: `90s`, `10m`, `2h`"
    return str(it.get("format") or it.get("type", "any"))


def _inner(it: dict[str, Any]) -> dict[str, Any]:
    if it.get("type") == "array":
        return dict(it["items"])
    return next((one for one in it.get("anyOf", []) if "$ref" in one), it)


def _resolved(it: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    return dict(whole["$defs"][it["$ref"].rpartition("/")[2]]) if "$ref" in it else it


def _scalars(table: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    plain = {
        n: it for n, it in table["properties"].items() if "properties" not in _resolved(it, whole)
    }
    return {**table, "properties": plain}


def _default(it: dict[str, Any]) -> str:
    value = it.get("default")
    return "" if isinstance(value, dict) or value in (None, "", []) else f"`{json.dumps(value)}`"


def _sentence(it: dict[str, Any], inner: dict[str, Any]) -> str:
    return str(it.get("description") or inner.get("description", ""))


def _parties(kind: type[Message], wires: list[Wire]) -> list[str]:
    reading = sorted({*readers(kind, wires), *([owner(kind)] if issubclass(kind, Command) else [])})
    return [", ".join(tellers(kind, wires)), ", ".join(reading)]


def _link(kind: type[Message]) -> str:
    return f"[`{kind.type}`](#{kind.type.replace('.', '')})"


def _means(kind: type[Message]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |\n" for line in lines)
