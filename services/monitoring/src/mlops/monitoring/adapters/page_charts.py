# SPDX-License-Identifier: Apache-2.0
"""The pictures of a report, each drawn once: as PNG, and as SVG whose colours follow the page's."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "mlops-matplotlib"))

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates as mdates
from matplotlib import pyplot as plt

INK, MUTED, GRID, PAPER = "#1c2431", "#6a7585", "#e3e7ed", "#fdfdfe"
BLUE, GREEN, RED, AMBER, VIOLET = "#2f6fde", "#159a6b", "#cf3f4a", "#d68a16", "#7a5bc5"
# What the page calls them; there they have a second value for the dark.
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper",
    BLUE: "blue", GREEN: "green", RED: "red", AMBER: "amber", VIOLET: "violet",
}  # fmt: skip
_DATES: Any = mdates  # its calls have no types
_SERIES = (BLUE, GREEN, AMBER, MUTED)
_LEVELS = (GREEN, AMBER, RED, RED, RED)
_LANES = {
    "degraded": ("Worse than promised", RED, "v"),
    "drift": ("Drift", AMBER, "D"),
    "retraining": ("Retraining", VIOLET, "s"),
    "declined": ("Retraining declined", MUTED, "x"),
    "version": ("Version decided", BLUE, "^"),
    "rollout": ("Rollout", GREEN, "o"),
    "reverted": ("Taken back", RED, "<"),
    "failed": ("Failure", RED, "X"),
    "alert": ("Alert", AMBER, "P"),
    "heat": ("Heat", RED, "*"),
}
_STYLE: Any = {
    "font.size": 9, "font.family": ["DejaVu Sans"], "text.color": INK, "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID, "axes.facecolor": PAPER, "figure.facecolor": PAPER, "savefig.facecolor": PAPER,
    "xtick.color": MUTED, "ytick.color": MUTED, "grid.color": GRID, "axes.grid": True, "axes.grid.axis": "y",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
    "legend.frameon": False, "legend.fontsize": 8, "xtick.major.size": 0, "ytick.major.size": 0,
    "svg.fonttype": "none", "svg.hashsalt": "mlops", "text.parse_math": False, "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round", "axes.titlesize": 10,
}  # fmt: skip
Found = dict[str, Any]


class Pictures:
    """Draws into *folder*; `svg` returns what stands in the page."""

    def __init__(self, folder: Path, report: Found) -> None:
        self._folder = folder
        self._since = _time(report["period"]["since"])
        self._until = _time(report["period"]["until"])
        self.names: list[str] = []

    def draw(
        self,
        name: str,
        alt: str,
        draw: Callable[[Any], None],
        size: tuple[float, float] = (6.4, 2.3),
    ) -> str:
        """Draw one picture, keep it as PNG, and return it as SVG."""
        with mpl.rc_context(_STYLE):
            figure, axes = plt.subplots(figsize=size, layout="constrained")
            draw(axes)
            self._times(axes)
            figure.savefig(self._folder / f"{name}.png", dpi=144, metadata={"Software": "mlops"})
            written = io.StringIO()
            figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)
        self.names.append(f"{name}.png")
        return _inline(written.getvalue(), name, alt)

    def _times(self, axes: Any) -> None:
        locator = _DATES.AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        formatter = _DATES.ConciseDateFormatter(locator, show_offset=False)
        formatter.formats = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
        formatter.zero_formats = ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
        axes.xaxis.set_major_formatter(formatter)
        axes.set_xlim(self._since, self._until)


def story(moments: Sequence[Found]) -> Callable[[Any], None]:
    """Return the drawing of everything that happened, a row for each kind."""
    lanes = [lane for lane in _LANES if any(one["lane"] == lane for one in moments)]

    def draw(axes: Any) -> None:
        for row, lane in enumerate(reversed(lanes)):
            _, colour, mark = _LANES[lane]
            times = [_time(one["at"]) for one in moments if one["lane"] == lane]
            axes.axhline(row, color=GRID, linewidth=1, zorder=1)
            axes.scatter(times, [row] * len(times), color=colour, marker=mark, s=46, zorder=3)
        axes.set_yticks(range(len(lanes)), [_LANES[lane][0] for lane in reversed(lanes)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.6, len(lanes) - 0.4)
        axes.grid(visible=False)

    return draw


def story_size(moments: Sequence[Found]) -> tuple[float, float]:
    """Return how large the story has to be."""
    return 13.0, 0.75 + 0.3 * len({one["lane"] for one in moments})


def quality(found: Found) -> Callable[[Any], None]:
    """Return the drawing of a metric by window, against what was promised."""

    def draw(axes: Any) -> None:
        windows = found["windows"]
        times = [_time(one["at"]) for one in windows]
        axes.plot(times, [one["value"] for one in windows], color=BLUE, marker="o", markersize=4)
        promised = [(t, w["expected"]) for t, w in zip(times, windows, strict=True) if w["expected"] is not None]  # fmt: skip
        if promised:
            axes.step(*zip(*promised, strict=True), where="mid", color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label="promised")  # fmt: skip
        bad = [(t, w["value"]) for t, w in zip(times, windows, strict=True) if w["degraded"]]
        if bad:
            axes.scatter(*zip(*bad, strict=True), color=RED, s=44, zorder=4, label="worse than promised")  # fmt: skip
        _versions(axes, times, windows)
        if promised or bad:
            _legend(axes)
        axes.margins(y=0.1)

    return draw


def traffic(steps: Sequence[Found], width: timedelta) -> Callable[[Any], None]:
    """Return the drawing of predictions by step."""

    def draw(axes: Any) -> None:
        times = [_time(one["at"]) for one in steps]
        axes.bar(times, [one["traffic"]["predictions"] for one in steps], width=width * 0.86, align="edge", color=BLUE)  # fmt: skip
        axes.yaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        axes.set_ylim(bottom=0)

    return draw


def latency(steps: Sequence[Found], width: timedelta) -> Callable[[Any], None]:
    """Return the drawing of answer times by step, in ms."""
    known = [one for one in steps if one["traffic"]["p95_ms"] is not None]

    def draw(axes: Any) -> None:
        times = [_time(one["at"]) + width / 2 for one in known]
        p95 = [one["traffic"]["p95_ms"] for one in known]
        p50 = [one["traffic"]["p50_ms"] for one in known]
        axes.fill_between(times, p50, p95, color=VIOLET, alpha=0.15, linewidth=0)
        axes.plot(times, p95, color=VIOLET, marker="o", markersize=3, label="95 % answered within")
        axes.plot(times, p50, color=BLUE, marker="o", markersize=3, label="half answered within")
        axes.set_ylim(0, 1.1 * max(p95))
        axes.set_ylabel("ms")
        _legend(axes)

    return draw


def drift(drifts: Sequence[Found]) -> Callable[[Any], None]:
    """Return the drawing of how far which columns were from their reference."""
    names: dict[str, float] = {}
    for one in drifts:
        for name, score in one["columns"]:
            names[name] = max(score, names.get(name, 0.0))
    shown = sorted(names, key=lambda name: -names[name])[:8]

    def draw(axes: Any) -> None:
        points = [
            (_time(one["at"]), shown.index(name), score)
            for one in drifts
            for name, score in one["columns"]
            if name in shown
        ]
        times, rows, scores = zip(*points, strict=True)
        top = max(scores) or 1.0
        axes.scatter(times, rows, s=[30 + 170 * score / top for score in scores], color=AMBER, alpha=0.75, linewidths=0)  # fmt: skip
        axes.set_yticks(range(len(shown)), [_short(name) for name in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)

    return draw


def energy(
    models: Sequence[Found], trainings: Sequence[Found], since: datetime, width: timedelta
) -> Callable[[Any], None]:
    """Return the drawing of watt hours by step: of the answers of those models that took most, and of training."""
    trained: dict[datetime, float] = {}
    for one in trainings:
        at = since + (_time(one["at"]) - since) // width * width
        trained[at] = trained.get(at, 0.0) + (one["joules"] or 0.0)
    series = [*_answers(models), ("training", VIOLET, trained)]

    def draw(axes: Any) -> None:
        floor: dict[datetime, float] = {}
        for name, colour, joules in series:
            if not any(joules.values()):
                continue
            heights = [value / 3600 for value in joules.values()]
            bottoms = [floor.get(at, 0.0) for at in joules]
            axes.bar(list(joules), heights, bottom=bottoms, width=width * 0.86, align="edge", color=colour, label=_short(name))  # fmt: skip
            floor.update({at: floor.get(at, 0.0) + value / 3600 for at, value in joules.items()})
        axes.set_ylabel("Wh")
        _legend(axes)

    return draw


def _answers(models: Sequence[Found]) -> list[tuple[str, str, dict[datetime, float]]]:
    """Return name, colour and joules by step of the three models that took most, and of all others together."""
    largest = sorted(models, key=lambda one: -(one["traffic"]["joules"] or 0.0))
    drawn = largest if len(largest) <= len(_SERIES) else largest[: len(_SERIES) - 1]
    found = [
        (model["model"], colour, _joules([model]))
        for model, colour in zip(drawn, _SERIES, strict=False)
    ]
    if len(drawn) < len(largest):
        rest = largest[len(drawn) :]
        found.append((f"{len(rest)} other models", MUTED, _joules(rest)))
    return found


def _joules(models: Sequence[Found]) -> dict[datetime, float]:
    found: dict[datetime, float] = {}
    for step in (step for model in models for step in model["steps"]):
        at = _time(step["at"])
        found[at] = found.get(at, 0.0) + (step["traffic"]["joules"] or 0.0)
    return found


def machine(found: Found, width: timedelta) -> Callable[[Any], None]:
    """Return the drawing of a machine's power (or load, where it tells no power), its heat behind."""
    powered = any(one["watts"] is not None for one in found["steps"])

    def draw(axes: Any) -> None:
        for one in found["steps"]:
            if one["level"]:
                at = _time(one["at"])
                axes.axvspan(at, at + width, color=_LEVELS[min(one["level"], 4)], alpha=0.18, linewidth=0)  # fmt: skip
        known = [one for one in found["steps"] if one["watts" if powered else "busy"] is not None]
        times = [_time(one["at"]) + width / 2 for one in known]
        values = [one["watts"] if powered else one["busy"] * 100 for one in known]
        axes.plot(times, values, color=GREEN, marker="o", markersize=3)
        axes.set_ylabel("W" if powered else "% busy")
        axes.set_ylim(bottom=0)

    return draw


def _legend(axes: Any) -> None:
    # Above the picture: within it, it would hide what is drawn sooner or later.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2)


def _versions(axes: Any, times: Sequence[datetime], windows: Sequence[Found]) -> None:
    for before, at, now in zip(windows, times[1:], windows[1:], strict=False):
        if before["version"] != now["version"]:
            axes.axvline(at, color=GREEN, linewidth=1, linestyle=(0, (1, 2)))
            axes.annotate(f"v{now['version']}", (at, 0.93), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points", color=GREEN, fontsize=8)  # fmt: skip


def _inline(svg: str, name: str, alt: str) -> str:
    """Return an SVG that can stand in a page beside others, in the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    body = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    label = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"  # noqa: PLR2004 - what fits


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
