# SPDX-License-Identifier: Apache-2.0
"""chart: the last windows of a metric as a small inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlops.gateway.model.views import Measure

_WIDTH, _HEIGHT, _PAD = 320, 72, 6
_SHOWN = 60


def chart(measures: Sequence[Measure]) -> str:
    """Return the line of the values, the expected value dashed, and a dot where a version began or fell short."""
    shown = list(measures)[-_SHOWN:]
    if not shown:
        return ""
    values = [one.value for one in shown] + [
        one.expected for one in shown if one.expected is not None
    ]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (_WIDTH - 2 * _PAD) / max(1, len(shown) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        x = _PAD + index * step
        return x, _HEIGHT - _PAD - (value - low) / span * (_HEIGHT - 2 * _PAD)

    line = " ".join("{:.1f},{:.1f}".format(*place(i, one.value)) for i, one in enumerate(shown))
    dashes = " ".join(
        "{:.1f},{:.1f}".format(*place(i, one.expected))
        for i, one in enumerate(shown)
        if one.expected is not None
    )
    dots = "".join(_dot(shown, i, *place(i, one.value)) for i, one in enumerate(shown))
    last = shown[-1]
    title = escape(f"{last.metric} of the last {len(shown)} windows, {low:.3f} to {high:.3f}")
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f'<title>{title}</title><polyline class="expected" points="{dashes}"/>'
        f'<polyline class="value" points="{line}"/>{dots}</svg>'
    )


def _dot(shown: Sequence[Measure], index: int, x: float, y: float) -> str:
    one = shown[index]
    new = index > 0 and one.version != shown[index - 1].version
    if not new and not one.degraded:
        return ""
    what = "fell short" if one.degraded else f"first window of v{one.version}"
    kind = "bad" if one.degraded else "new"
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
        f"<title>window {one.window}: {one.value:.3f}, {what}</title></circle>"
    )
