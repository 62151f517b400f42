# SPDX-License-Identifier: Apache-2.0
"""Place: where reports stand: a folder of this machine, or an address such as s3://bucket/prefix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A folder or a file; names below it hold no / and need no quoting."""

    address: str

    def at(self, *names: str) -> Place:
        """Return a place further inside."""
        return Place("/".join((self.address.rstrip("/"), *names)))

    @property
    def uri(self) -> str:
        """Return it for messages."""
        return self.address if "://" in self.address else Path(self.address).as_uri()
