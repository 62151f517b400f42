# SPDX-License-Identifier: Apache-2.0
"""Which files are generated, and which of them differ from what is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.examples import full, minimal
from mlops.contracts.generate.asyncapi import asyncapi
from mlops.contracts.generate.reference import messages_page, settings_page
from mlops.contracts.generate.schemas import data_schema
from mlops.contracts.generate.wires import Wire, read_wires

_CONTRACTS = Path("libs/contracts")
_REFERENCE = Path("docs/reference")


def generated(root: Path) -> dict[Path, str]:
    """Return the content of every generated file by its path below *root*."""
    wires = read_wires(root / "services")
    return {
        **_schemas(),
        **_examples(),
        _CONTRACTS / "asyncapi.json": as_text(asyncapi(wires)),
        **_pages(wires),
    }


def stale(root: Path, files: dict[Path, str]) -> list[Path]:
    """Return the paths whose content on disk differs, and schemas of messages that are no more."""
    differing = [path for path, text in files.items() if _read(root / path) != text]
    on_disk = {path.relative_to(root) for path in (root / _CONTRACTS / "schemas").glob("*.json")}
    return sorted([*differing, *(on_disk - files.keys())])


def write(root: Path) -> list[Path]:
    """Write what is stale and return its paths; a file too many is left for a person to judge."""
    files = generated(root)
    changed = [path for path in stale(root, files) if path in files]
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(files[path], encoding="utf-8")
    return changed


def as_text(content: dict[str, Any]) -> str:
    """Return JSON as people read it, always the same for the same content."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _schemas() -> dict[Path, str]:
    folder = _CONTRACTS / "schemas"
    return {
        folder / f"{type_}.json": as_text(data_schema(kind)) for type_, kind in CATALOGUE.items()
    }


def _examples() -> dict[Path, str]:
    folder = _CONTRACTS / "examples"
    return {
        folder / type_ / f"{name}.json": as_text(make(kind).envelope())
        for type_, kind in CATALOGUE.items()
        for name, make in (("minimal", minimal), ("full", full))
    }


def _pages(wires: list[Wire]) -> dict[Path, str]:
    return {
        _REFERENCE / "messages.md": messages_page(wires),
        _REFERENCE / "mlops-toml.md": settings_page(),
    }


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
