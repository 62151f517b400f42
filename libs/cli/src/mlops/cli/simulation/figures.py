# SPDX-License-Identifier: Apache-2.0
"""Figures: every policy over the load, and how far ours is from each of the others."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from mlops.cli.simulation.found import OURS, Found
from mlops.cli.simulation.words import title

OVER_LOAD, AGAINST = "over-load.png", "against-each.png"
_SHOWN = (
    "completion_mean_s",
    "completion_p95_s",
    "slowed_s",
    "late_ratio",
    "work_wh",
    "unfair_ratio",
)
_COMPARED = ("completion_mean_s", "slowed_s")
_COLOURS = {
    "ours": "#0b6e4f",
    "blind": "#7fb069",
    "closed": "#8c2f39",
    "penalising": "#2c6fbb",
    "resting": "#95b8d1",
    "draining": "#3d5a80",
    "round-robin": "#7a7a7a",
    "least-loaded": "#b23a48",
    "cooldown": "#c9a227",
    "coolest": "#e09f3e",
    "oracle": "#222222",
}
_COLUMNS = 3
_ORACLE = "oracle"


def draw(folder: Path, found: Found) -> list[str]:
    """Write the pictures as PNG into *folder*; return their names."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "mlops-matplotlib"))
    # Imported here: matplotlib takes half a second that no other command should pay.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    names = [OVER_LOAD]
    rows = -(-len(_SHOWN) // _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(15, 4.2 * rows), layout="constrained")
    for place, key in enumerate(_SHOWN):
        _over_load(axes.flat[place], found, key)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.savefig(folder / OVER_LOAD, dpi=100)
    plt.close(figure)
    if found.others:
        names.append(AGAINST)
        figure, axes = plt.subplots(1, len(_COMPARED), figsize=(15, 6), layout="constrained")
        for place, key in enumerate(_COMPARED):
            _against(axes[place], found, key)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(folder / AGAINST, dpi=100)
        plt.close(figure)
    return names


def _over_load(axes: Any, found: Found, key: str) -> None:
    for name in found.policies:
        rows = [found.means[name, load, key] for load in found.loads]
        style = {"color": _COLOURS.get(name), "linestyle": "--" if name == _ORACLE else "-"}
        width = 2.6 if name == OURS else 1.3
        axes.plot(
            found.loads,
            [row.mean for row in rows],
            marker="o",
            markersize=3,
            label=name,
            lw=width,
            **style,
        )
        low, high = [row.low for row in rows], [row.high for row in rows]
        axes.fill_between(found.loads, low, high, color=style["color"], alpha=0.12, linewidth=0)
    axes.set_title(title(found, key), fontsize=10)
    axes.set_xlabel("load")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)


def _against(axes: Any, found: Found, key: str) -> None:
    # What knows everything is so far away that the others could not be told apart beside it.
    others = [name for name in found.others if name != _ORACLE]
    step = 1.0 / (len(found.loads) + 1)
    for place, load in enumerate(found.loads):
        rows = [found.differences[name, load, key] for name in others]
        at = [row + place * step for row in range(len(rows))]
        mean = [100 * row.mean for row in rows]
        reach = [
            [100 * (row.mean - row.low) for row in rows],
            [100 * (row.high - row.mean) for row in rows],
        ]
        axes.errorbar(
            mean, at, xerr=reach, fmt="o", ms=4, capsize=2, label=f"load {load:g}", alpha=0.9
        )
    axes.axvline(0, color="#444444", linewidth=1)
    middle = step * (len(found.loads) - 1) / 2
    axes.set_yticks([row + middle for row in range(len(others))], others)
    axes.invert_yaxis()
    axes.set_xlabel(f"{found.titles[key]}: ours less the other, % (left of 0: ours is better)")
    axes.grid(alpha=0.25, axis="x")
