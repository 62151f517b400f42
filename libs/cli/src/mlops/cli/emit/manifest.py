# SPDX-License-Identifier: Apache-2.0
"""A manifest: typed pieces that become YAML, and the notes for whoever applies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Piece(BaseModel):
    """A part of a manifest: fields in camelCase, what is None is left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        found: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return found


@dataclass(frozen=True)
class Manifest:
    """What was written, and what its reader has to see to."""

    content: dict[str, Any]
    notes: tuple[str, ...] = ()

    def yaml(self) -> str:
        """Return it as YAML, with texts of several lines as such."""
        return to_yaml(self.content)


def to_yaml(content: dict[str, Any]) -> str:
    """Return YAML in the order of the content."""
    import yaml  # noqa: PLC0415 - only these words need it

    class Dumper(yaml.SafeDumper):
        """Writes a text of several lines as a block, so that it can be read."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(content, Dumper=Dumper, sort_keys=False, width=120)
    return written
