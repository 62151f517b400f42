# SPDX-License-Identifier: Apache-2.0
"""Whose a node's name is: one agent tells for it, and a second one under the same name notices and stays silent.

The holder's claim counts up as a sign of life. Whoever wants the name and sees the count stand still for `expires_s`
of its own monotonic time takes over, so that no two clocks are ever compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RENEW_S, EXPIRES_S = 20.0, 60.0
# The same folder of state under another boot is a machine that started anew far more often than a copy of it.
REBOOTED_S = 25.0
LOOK_S = 5.0


@dataclass(frozen=True)
class Claim:
    """A claim as it is stored: the holder's folder of state, its boot, and a count that grows while it lives."""

    owner: str
    boot: str
    beat: int = 0


@dataclass(frozen=True)
class Held:
    """What this agent knows: the last claim of another that it saw, since when it stands still, and the verdict.

    `mine` is None until the store was reached: an agent that cannot ask goes on telling.
    """

    mine: bool | None = None
    other: Claim | None = None
    still_since_s: float = 0.0


def judge(held: Held, found: Claim | None, me: Claim, at_s: float) -> tuple[Held, bool]:
    """Return what is now held, and whether the claim is to be written."""
    if found is None or (found.owner, found.boot) == (me.owner, me.boot):
        return Held(mine=True), True
    if held.other != found:
        return Held(mine=False, other=found, still_since_s=at_s), False
    if at_s - held.still_since_s >= (REBOOTED_S if found.owner == me.owner else EXPIRES_S):
        return Held(mine=True), True
    return replace(held, mine=False), False


def renewed(found: Claim | None, me: Claim) -> Claim:
    """Return the claim of *me* with one more beat."""
    return replace(me, beat=(found.beat if found else 0) + 1)
