# SPDX-License-Identifier: Apache-2.0
"""Stands where mlx-lm would, which is no dependency: says the words of a file, one every 20 ms, for as long as it may.

On the path of the tests' Ray head and serving only; packing, Bento, replica and doors are the real ones.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PAUSE_S = 0.02


@dataclass(frozen=True)
class Said:
    """A piece of text, with the names that mlx-lm gives its own."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    generation_tokens: int


def load(folder: str) -> tuple[list[str], None]:
    """Return the model, which is its words, and no tokenizer."""
    words: list[str] = json.loads((Path(folder) / "config.json").read_text())["words"]
    return words, None


def stream_generate(
    model: list[str], _tokenizer: None, prompt: str, *, max_tokens: int, sampler: Any
) -> Iterator[Said]:
    """Say the words over and over, *max_tokens* of them."""
    assert sampler is not None
    asked = len(prompt.split())
    for count, word in zip(range(1, max_tokens + 1), itertools.cycle(model), strict=False):
        time.sleep(_PAUSE_S)
        yield Said(f"{word} ", "length" if count == max_tokens else None, asked, count)
