# SPDX-License-Identifier: Apache-2.0
"""Picture: a time line of each policy as SVG; the same replay draws the same picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from mlops.cli.policy.found import By, bars, declines, period, shown

_LEFT, _WIDE, _ROW, _TOP, _RIGHT = 280, 900, 34, 46, 20
_RAN, _ASSUMED, _DECLINED, _GREY = "#0b6e4f", "#e09f3e", "#b23a48", "#666666"
_TICKS = 6
_NAME = 40
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
    name = str(policy["name"])
    short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    yield f'<text x="{_LEFT - 10}" y="{top + 20}" text-anchor="end">{escape(short)}</text>'
    yield (
        f'<line x1="{_LEFT}" y1="{top + 16}" x2="{_LEFT + _WIDE}" y2="{top + 16}" stroke="#dddddd"/>'
    )
    for bar in bars(policy, until):
        left, right = _x(bar.since, since, until), _x(bar.until, since, until)
        colour = _ASSUMED if bar.assumed else _RAN
        yield (
            f'<rect x="{left:.1f}" y="{top + 8}" width="{max(2.0, right - left):.1f}" height="16" fill="{colour}">'
            f"<title>{bar.since.isoformat()} to {bar.until.isoformat()}</title></rect>"
        )
    for at in declines(policy):
        x = _x(at, since, until)
        yield (
            f'<line x1="{x:.1f}" y1="{top + 5}" x2="{x:.1f}" y2="{top + 27}" stroke="{_DECLINED}"/>'
        )


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


def _x(at: datetime, since: datetime, until: datetime) -> float:
    whole = max(until - since, timedelta(seconds=1))
    return _LEFT + _WIDE * min(1.0, max(0.0, (at - since) / whole))
