# SPDX-License-Identifier: Apache-2.0
"""Aftermath: what a workflow took, what the hardware had to do with its failure, and what to change; as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from mlops.cli.amounts import amount


def lines(found: Mapping[str, Any]) -> Iterator[Text]:
    """Yield what the answer to `why` says of a workflow that has ended; nothing of one that has not."""
    energy = found.get("energy") or {}
    if energy.get("joules") is not None:
        source = "measured" if energy.get("measured") else "estimated"
        yield Text(f"  took {amount(energy['joules'])}, {source}: {energy.get('how')}", style="dim")
    for text in found.get("hardware") or ():
        yield Text.assemble(("  hardware ", "bold yellow"), str(text))
    if found.get("suggestion"):
        yield Text.assemble(("  try      ", "bold green"), str(found["suggestion"]))
