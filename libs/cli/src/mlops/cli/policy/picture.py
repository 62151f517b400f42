# SPDX-License-Identifier: Apache-2.0
"""Picture: a time line of each policy as SVG; the same replay draws the same picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from mlops.cli.policy.found import By, bars, declines, period, shown

_LEFT, _WIDE, _ROW, _TOP, _RIGHT = 280, 860, 38, 46, 130
_RAN, _ASSUMED, _DECLINED, _GREY = "#0b6e4f", "#e09f3e", "#b23a48", "#666666"
_TICKS = 6
_NAME, _LINES = 40, 2
_LEAST_WIDE = 4.0  # a retraining of minutes is seen in a month, too
_WH_J = 3600
_STYLE = 'font-family="sans-serif" font-size="13" role="img"'


def drawn(result: Mapping[str, Any], by: By) -> str:
    """Return the picture."""
    found = shown(result, by)
    high = _TOP + _ROW * len(found) + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + _RIGHT}" height="{high}" {_STYLE}>',
        f"<title>Policies of {escape(result['project'])} on what was recorded</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_legend(),
    ]
    for number, one in enumerate(found):
        lines += _row(one, _TOP + _ROW * number, result)
    lines += _axis(_TOP + _ROW * len(found), result)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row(policy: Mapping[str, Any], top: int, result: Mapping[str, Any]) -> Iterator[str]:
    since, until = period(result)
    yield from _name(str(policy["name"]), top)
    yield (
        f'<line x1="{_LEFT}" y1="{top + 12}" x2="{_LEFT + _WIDE}" y2="{top + 12}" stroke="#dddddd"/>'
    )
    for bar in bars(policy, until):
        left, right = _x(bar.since, since, until), _x(bar.until, since, until)
        colour = _ASSUMED if bar.assumed else _RAN
        wide = max(_LEAST_WIDE, right - left)
        yield (
            f'<rect x="{min(left, _LEFT + _WIDE - wide):.1f}" y="{top + 4}" width="{wide:.1f}" height="16" fill="{colour}">'
            f"<title>{bar.since.isoformat()} to {bar.until.isoformat()}</title></rect>"
        )
    for at in declines(policy):  # below: there are many, and they must not hide what ran
        x = _x(at, since, until)
        yield (
            f'<line x1="{x:.1f}" y1="{top + 22}" x2="{x:.1f}" y2="{top + 30}" stroke="{_DECLINED}"/>'
        )
    yield f'<text x="{_LEFT + _WIDE + 12}" y="{top + 17}" fill="{_GREY}">{_sum(policy)}</text>'


def _name(name: str, top: int) -> Iterator[str]:
    """Yield the name in two lines at most; the whole of it is shown where the pointer rests."""
    lines = textwrap.wrap(name, _NAME, max_lines=_LINES, placeholder=" …") or [""]
    first = top + (17 if len(lines) == 1 else 10)
    yield (
        "<g>"
        f"<title>{escape(name)}</title>"
        + "".join(
            f'<text x="{_LEFT - 10}" y="{first + 15 * number}" text-anchor="end">{escape(line)}</text>'
            for number, line in enumerate(lines)
        )
        + "</g>"
    )


def _sum(policy: Mapping[str, Any]) -> str:
    joules = policy["energy_j"]
    energy = "" if joules is None else f", {joules / _WH_J:.3g} Wh"
    return f"{policy['retrainings']}{energy}"


def _axis(top: int, result: Mapping[str, Any]) -> Iterator[str]:
    since, until = period(result)
    for number in range(_TICKS + 1):
        at = since + (until - since) * number / _TICKS
        x = _LEFT + _WIDE * number / _TICKS
        yield (
            f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + 6}" stroke="{_GREY}"/>'
            f'<text x="{x:.1f}" y="{top + 22}" text-anchor="middle" fill="{_GREY}">{at:%d %b}</text>'
            f'<text x="{x:.1f}" y="{top + 38}" text-anchor="middle" fill="{_GREY}">{at:%H:%M}</text>'
        )


def _legend() -> Iterator[str]:
    words = (("retraining", _RAN), ("one that never was", _ASSUMED), ("declined", _DECLINED))
    for number, (word, colour) in enumerate(words):
        x = _LEFT + 180 * number
        yield f'<rect x="{x}" y="14" width="14" height="14" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="26">{word}</text>'
    yield f'<text x="{_LEFT + _WIDE + 12}" y="26" fill="{_GREY}">retrainings</text>'


def _x(at: datetime, since: datetime, until: datetime) -> float:
    whole = max(until - since, timedelta(seconds=1))
    return _LEFT + _WIDE * min(1.0, max(0.0, (at - since) / whole))
