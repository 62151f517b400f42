# SPDX-License-Identifier: Apache-2.0
"""Order: what a writer of models is to write, and what it found out about the model; no framework is imported here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlops.client.errors import MLOpsClientError

OPERATION = "save a model"
_HERE = str(Path(__file__).parents[1])


class ModelWarning(UserWarning):
    """A model is saved, but something that a user may expect of it is lost; the text says what and how to get it."""


@dataclass(frozen=True)
class Order:
    """A model folder to be written; `metadata` goes into the MLmodel file as it is."""

    folder: Path
    signature: Any = None
    input_example: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it is written: its size, the types of its numbers, and where they are."""

    size_bytes: int | None = None
    dtypes: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()


class Writer(Protocol):
    """Writes the models of one framework."""

    def facts(self, model: Any) -> Facts:
        """Return what can be known without running the model."""

    def write(self, model: Any, order: Order) -> None:
        """Write the folder; it does not exist yet."""


def warn(text: str) -> None:
    """Tell the user what is lost; the line that is blamed is the first one outside of this library."""
    level, frame = 1, sys._getframe()  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, ModelWarning, stacklevel=level)


def refusal(problem: str, hint: str = "") -> MLOpsClientError:
    """Return the error for a model that cannot be saved."""
    return MLOpsClientError("models", OPERATION, problem, hint)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
