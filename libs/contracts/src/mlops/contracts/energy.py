# SPDX-License-Identifier: Apache-2.0
"""EnergyUse: the joules that something took of a machine, how that is known, and how well."""

from __future__ import annotations

from pydantic import Field

from mlops.contracts.attribution import Taken, how
from mlops.contracts.message import Part
from mlops.contracts.units import Ratio


class EnergyUse(Part):
    """Joules of a run, a workflow or a served version: its share of what the machine took meanwhile."""

    joules: float = Field(ge=0, description="What it took, in joules.")
    measured: bool = Field(
        description="True where the machine counts its energy; false where watts were integrated or guessed."
    )
    node: str | None = Field(default=None, max_length=63, description="The machine it ran on.")
    machine_j: float | None = Field(
        default=None, ge=0, description="What the whole machine took meanwhile, in joules."
    )
    share_ratio: Ratio | None = Field(
        default=None, description="Its share of the machine's work; 1 where it was alone."
    )
    known_ratio: Ratio = Field(
        default=1.0, description="Part of the time for which the machine's energy is known."
    )
    how: str = Field(
        default="", max_length=300, description="Which counter, and how the share was found."
    )

    @classmethod
    def of(
        cls, taken: Taken, lasted_s: float, share: str, *, node: str | None = None
    ) -> EnergyUse | None:
        """Return what was taken in *lasted_s*; *share* says how the part was found. None where nothing is known."""
        if not (taken.known_s > 0 or taken.joules > 0):
            return None
        known = taken.known_s / lasted_s if lasted_s > 0 else 1.0
        return cls(
            joules=round(taken.joules, 3),
            measured=taken.measured,
            node=node,
            machine_j=round(taken.machine_j, 3),
            share_ratio=taken.share,
            known_ratio=min(1.0, known),
            how=how(taken, lasted_s, share),
        )
