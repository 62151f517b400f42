# SPDX-License-Identifier: Apache-2.0
"""Figure: accuracy over time against never and blindly retrained models, every event marked; hops below."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.cli.demo.outcome import Outcome
from mlops.cli.demo.plan import Plan
from mlops.cli.demo.story import Story

_LIVE, _NEVER, _BLIND = "#0b6e4f", "#b23a48", "#7a7a7a"
_MARKS = {
    "performance.degraded": ("#b23a48", "v", "performance degraded"),
    "workflow.queued": ("#e09f3e", "s", "retraining queued"),
    "model.promoted": ("#2c6fbb", "^", "model promoted"),
    "model.rejected": ("#7a7a7a", "x", "challenger rejected"),
    "deployment.completed": ("#0b6e4f", "o", "rollout completed"),
    "drift.detected": ("#c9a227", "|", "input drift (warning)"),
}
_HOP_COLOURS = (
    "#b23a48",
    "#e09f3e",
    "#c9a227",
    "#7fb069",
    "#4f9d69",
    "#2c6fbb",
    "#3d5a80",
    "#6d597a",
    "#0b6e4f",
    "#95b8d1",
)


def draw(path: Path, plan: Plan, story: Story, outcome: Outcome) -> None:
    """Write the picture as PNG."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "mlops-matplotlib"))
    # Imported here: matplotlib takes half a second that no other command should pay.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = max(len(outcome.episodes), 1)
    figure, (above, marks, below) = plt.subplots(
        3,
        1,
        figsize=(12, 8 + 0.28 * rows),
        height_ratios=(5, 1.5, 0.8 + 0.35 * rows),
        layout="constrained",
    )
    _lines(above, plan, outcome)
    _moments(marks, plan, story)
    _hops(below, outcome.episodes)
    figure.suptitle(
        f"Closed loop on {plan.days} days of weather: accuracy {outcome.accuracy_overall:.3f}, "
        f"last ten windows {outcome.accuracy_last10:.3f}, {outcome.retrainings} retrainings, "
        f"{outcome.failed_requests} of {outcome.requests} requests failed"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _lines(axes: Any, plan: Plan, outcome: Outcome) -> None:
    edges = [*range(plan.first_day, plan.last_day, plan.window), plan.last_day]
    lines: list[tuple[str, list[float], str, float]] = []
    for name, colour in (("never", _NEVER), ("blind", _BLIND)):
        found: Mapping[str, Any] = outcome.baselines.get(name, {})
        if found:
            label = (
                f"{name} retrained ({found['retrainings']} times): {found['accuracy_overall']:.3f}"
            )
            lines.append((label, found["windows"], colour, 1.2))
    label = f"the platform ({outcome.retrainings} times): {outcome.accuracy_overall:.3f}"
    lines.append((label, outcome.windows, _LIVE, 2.6))
    for text, values, colour, width in lines:
        axes.stairs(values, edges, baseline=None, color=colour, linewidth=width, label=text)
    axes.set_ylabel(f"accuracy per {plan.window} days")
    axes.set_xlim(plan.first_day, plan.last_day)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left")


def _moments(axes: Any, plan: Plan, story: Story) -> None:
    for row, (type_, (colour, mark, text)) in enumerate(_MARKS.items()):
        days = [moment.day for moment in story.moments if moment.type == type_]
        axes.scatter(days, [-row] * len(days), color=colour, marker=mark, s=60, zorder=3)
        axes.axhline(-row, color="#dddddd", linewidth=0.8, zorder=1)
        axes.text(
            plan.last_day + 0.005 * plan.days,
            -row,
            f"{text} ({len(days)})",
            va="center",
            fontsize=9,
        )
    axes.set_xlim(plan.first_day, plan.last_day)
    axes.set_ylim(-len(_MARKS) + 0.4, 0.6)
    axes.set_yticks([])
    axes.set_xlabel("day")


def _hops(axes: Any, episodes: list[dict[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for row, episode in enumerate(episodes):
        left = 0.0
        for name, seconds in episode["hops_s"].items():
            if name == "performance.recovered":
                continue  # the time lapse runs again: its seconds are not the platform's
            colour = seen.setdefault(name, _HOP_COLOURS[len(seen) % len(_HOP_COLOURS)])
            axes.barh(-row, seconds, left=left, color=colour, height=0.7)
            left += seconds
        axes.text(left + 0.3, -row, f"{episode['outcome']}, {left:.0f} s", va="center", fontsize=8)
    axes.set_yticks([-row for row in range(len(episodes))])
    axes.set_yticklabels([f"{e['kind']} (day {e['day']})" for e in episodes], fontsize=8)
    axes.set_xlabel("seconds from the first hop, by hop that ended then")
    handles = [axes.barh(0, 0, color=colour, label=name) for name, colour in seen.items()]
    if handles:
        axes.legend(handles=handles, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.margins(x=0.15)
