# SPDX-License-Identifier: Apache-2.0
"""Amounts: an energy and a length of time in the unit that suits each."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def amount(joules: float | None) -> str:
    """Return an energy in the unit that suits it."""
    if joules is None:
        return "not known"
    for least, size, unit in ((3.6e6, 3.6e6, "kWh"), (1000.0, 3600.0, "Wh")):
        if joules >= least:
            return f"{joules / size:.3g} {unit}"
    return f"{joules:.3g} J"


def span(seconds: float | None) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds is None:
        return "not known"
    for least, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= least:
            return f"{seconds / least:.3g} {unit}"
    return f"{seconds:.3g} s"
