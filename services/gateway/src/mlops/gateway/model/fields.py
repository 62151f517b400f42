# SPDX-License-Identifier: Apache-2.0
"""Fields: reads JSON of any shape without surprise; what is missing or of another kind is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping

_LARGEST = 2**63  # beyond it our own answers could not hold the number either


class Fields:
    """A JSON object, read by kind; strangers write on the bus too, so nothing here raises."""

    def __init__(self, values: object) -> None:
        self._values: Mapping[str, object] = values if isinstance(values, dict) else {}

    def text(self, name: str) -> str:
        """Return a string, or an empty one."""
        found = self._values.get(name)
        return found if isinstance(found, str) else ""

    def number(self, name: str) -> float | None:
        """Return a finite number, or None."""
        found = self._values.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        if isinstance(found, int) and abs(found) >= _LARGEST:
            return None
        return float(found) if math.isfinite(found) else None

    def whole(self, name: str) -> int | None:
        """Return a whole number of at most 64 bits, or None."""
        found = self._values.get(name)
        if isinstance(found, bool) or not isinstance(found, int):
            return None
        return found if abs(found) < _LARGEST else None

    def flag(self, name: str) -> bool:
        """Return whether the field is true."""
        return self._values.get(name) is True

    def says(self, name: str) -> bool:
        """Return whether the field is there and says anything, be it no."""
        return self._values.get(name) is not None

    def inner(self, name: str) -> Fields:
        """Return an object within, empty when there is none."""
        return Fields(self._values.get(name))

    def plain(self, name: str) -> dict[str, object]:
        """Return an object within as it came, empty when there is none."""
        found = self._values.get(name)
        return dict(found) if isinstance(found, dict) else {}

    def count(self, name: str) -> int:
        """Return the length of a list, 0 when there is none."""
        found = self._values.get(name)
        return len(found) if isinstance(found, list) else 0

    def inners(self, name: str) -> tuple[Fields, ...]:
        """Return the objects of a list."""
        found = self._values.get(name)
        return tuple(Fields(item) for item in found) if isinstance(found, list) else ()

    def texts(self, name: str) -> dict[str, str]:
        """Return the string values of an object within."""
        found = self._values.get(name)
        pairs = found.items() if isinstance(found, dict) else ()
        return {str(key): value for key, value in pairs if isinstance(value, str)}

    def numbers(self, name: str) -> dict[str, float]:
        """Return the numeric values of an object within."""
        found = self._values.get(name)
        keys = [str(key) for key in found] if isinstance(found, dict) else []
        inside = self.inner(name)
        return {key: number for key in keys if (number := inside.number(key)) is not None}

    def strings(self, name: str) -> tuple[str, ...]:
        """Return the strings of a list."""
        found = self._values.get(name)
        items = found if isinstance(found, list) else []
        return tuple(item for item in items if isinstance(item, str))
