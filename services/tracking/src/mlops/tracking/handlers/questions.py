# SPDX-License-Identifier: Apache-2.0
"""Questions: what a query may say; whatever else it says is refused, with which word and the fix.

Over HTTP every value is text, so numbers are read from text too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.chassis.errors import RejectedError

_LONGEST = 500


class Asked:
    """The words of one question; *known* are those it may use."""

    def __init__(self, verb: str, question: Mapping[str, Any], *known: str) -> None:
        self._verb = verb
        self._words = {key: value for key, value in question.items() if value not in (None, "")}
        strange = sorted(key for key in self._words if key not in known)
        if strange:
            raise RejectedError(
                f"query {verb}: unknown {strange[0][:40]!r}; it takes {', '.join(known)}"
            )

    def text(self, name: str) -> str | None:
        """Return a text, None when it is not given."""
        value = self._words.get(name)
        if value is None:
            return None
        if isinstance(value, bool | dict | list) or not _is_plain(str(value)):
            raise self.refuse(name, f"must be a text of at most {_LONGEST} characters, without NUL")
        return str(value)

    def needed(self, name: str, example: str) -> str:
        """Return a text that must be there."""
        value = self.text(name)
        if value is None:
            raise RejectedError(f"query {self._verb}: which {name}? Ask with {example}")
        return value

    def number(self, name: str, usual: int, most: int, least: int = 1) -> int:
        """Return a whole number within bounds."""
        value = self._words.get(name, usual)
        try:
            found = int(str(value))
        except ValueError:
            found = least - 1
        if isinstance(value, bool) or not least <= found <= most:
            raise self.refuse(
                name, f"must be a whole number from {least} to {most}, not {value!r:.40}"
            )
        return found

    def choice(self, name: str, *choices: str) -> str | None:
        """Return one of the choices, None when it is not given."""
        value = self.text(name)
        if value is not None and value not in choices:
            raise self.refuse(name, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def pair(self, name: str) -> tuple[str, str] | None:
        """Return key and value of `key=value`, None when it is not given."""
        value = self.text(name)
        if value is None:
            return None
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise self.refuse(name, f"must be written key=value, not {value!r}")
        return key, rest

    def names(self, name: str, least: int, most: int) -> list[str]:
        """Return the different names of a list with commas."""
        value = self._words.get(name, "")
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(
            isinstance(part, str) and _is_plain(part) for part in parts
        ):
            raise self.refuse(name, "must be names with commas between them")
        found = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
        if not least <= len(found) <= most:
            raise self.refuse(
                name,
                f"must be {least} to {most} different names with commas between them, not {len(found)}",
            )
        return found

    def refuse(self, name: str, why: str) -> RejectedError:
        """Return the error for a word that cannot be."""
        return RejectedError(f"query {self._verb}: {name} {why}")


def _is_plain(text: str) -> bool:
    # PostgreSQL takes no NUL.
    return len(text) <= _LONGEST and "\0" not in text
