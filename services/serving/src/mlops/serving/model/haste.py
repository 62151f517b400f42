# SPDX-License-Identifier: Apache-2.0
"""Which calls of a model are so short that handing them to a thread would take longer than they do.

Beside a loop that answers, every thread that computes waits for Python's one lock, and the loop for it: for a model that
takes a tenth of a millisecond that is most of the answer's time. Such a call is made in the loop itself. That blocks all
others while it lasts; so only backends that do nothing but compute qualify, a number of rows has to prove itself first,
and loses that at the first call that took long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops.serving.model import backends

SHORT_S = 0.001  # proves a call short
LONG_S = 0.005  # ends that; a busy machine alone stretches a short call past the first
PROOFS = 32
# Neither files nor networks nor anybody's own code, which may hang; pickled models may hold such code.
_COMPUTING = frozenset({backends.SKLEARN, backends.ONNX, backends.NUMPY})
_PICKLED = "-pickle"


def only_computes(packed: Mapping[str, Any]) -> bool:
    """Return whether a packed model can do nothing but compute."""
    return packed.get("backend") in _COMPUTING and not str(packed.get("format", "")).endswith(
        _PICKLED
    )


@dataclass
class Haste:
    """Calls of up to `rows` rows are short, as far as is known; *may* is False for a model that could wait for others."""

    may: bool = True
    rows: int = 0
    _proofs: int = 0
    _least: int = 0

    def is_short(self, rows: int) -> bool:
        """Return whether a call of so many rows has proved to be short; 0 rows are an unknown number."""
        return 0 < rows <= self.rows

    def proves(self, rows: int, cpu_s: float) -> None:
        """Learn that a call in a thread took so many seconds of the processor; the clock would count others' turns."""
        if not self.may or rows <= 0:
            return
        if cpu_s > SHORT_S:
            self._disprove(rows)
        elif rows > self.rows:
            self._least = rows if self._proofs == 0 else min(self._least, rows)
            self._proofs += 1
            if self._proofs >= PROOFS:
                self.rows, self._proofs = self._least, 0

    def held_up(self, rows: int, took_s: float) -> None:
        """Learn for how many seconds a call has held up the loop."""
        if took_s > LONG_S:
            self._disprove(rows)

    def _disprove(self, rows: int) -> None:
        self.rows, self._proofs = min(self.rows, rows - 1), 0
