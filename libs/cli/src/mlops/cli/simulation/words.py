# SPDX-License-Identifier: Apache-2.0
"""Words: tables of a simulation in Markdown, and sentences that say where ours is better, worse, or neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops.cli.simulation.found import OURS, Found, Interval

FIGURES = (
    "completion_mean_s",
    "completion_p95_s",
    "makespan_s",
    "slowdown_mean",
    "late_ratio",
    "slowed_s",
    "onsets",
    "work_wh",
    "moves",
    "unfair_ratio",
)
_PERCENT = 100
_HOW_TO_READ = "Less is better everywhere. Intervals are 95 %, by bootstrap over seeds; differences are paired by seed."


def report(found: Found, command: str, images: Sequence[str]) -> str:
    """Return the whole report as Markdown."""
    study = found.study
    parts = [
        "# Thermal simulation",
        f"{study['seeds']} seeds, fleet `{study['fleet']}`, jobs `{study['jobs']}`. {_HOW_TO_READ} Made by:",
        f"```\n{command}\n```",
        *(f"![{name.removesuffix('.png')}]({name})" for name in images),
        "## Ours against each",
        *readings(found),
        "## Means",
    ]
    parts += [f"### {title(found, key)}\n\n{means(found, key)}" for key in _keys(found)]
    if found.others:
        parts.append("## Differences of ours from each")
        parts += [f"### {title(found, key)}\n\n{differences(found, key)}" for key in _keys(found)]
    return "\n\n".join(parts) + "\n"


def title(found: Found, key: str) -> str:
    """Return the name of a figure with its unit."""
    unit = found.units[key]
    return f"{found.titles[key]} ({unit})" if unit else found.titles[key]


def means(found: Found, key: str) -> str:
    """Return a table of means: a row a policy, a column a load."""
    rows = [
        [name, *(_mean(found.means[name, load, key]) for load in found.loads)]
        for name in found.policies
    ]
    return _table(["policy", *_loads(found)], rows)


def differences(found: Found, key: str) -> str:
    """Return a table of differences: a row for each other policy, bold where nought is outside the interval."""
    rows = [
        [name, *(difference(found.differences[name, load, key]) for load in found.loads)]
        for name in found.others
    ]
    return _table(["ours less", *_loads(found)], rows)


def difference(one: Interval) -> str:
    """Return a difference with its interval; bold where it is certain."""
    if one.relative:
        low, high = (f"{bound * _PERCENT:+.0f}" for bound in (one.low, one.high))
        text = f"{one.mean * _PERCENT:+.0f} % [{low}, {high}]"
    else:
        text = f"{one.mean:+.3g} [{one.low:+.3g}, {one.high:+.3g}]"
    return f"**{text}**" if one.certain else text


def readings(found: Found) -> Iterator[str]:
    """Yield, for each other policy, where ours is certainly better, certainly worse, and neither."""
    for name in found.others:
        better, worse, neither = list[str](), list[str](), list[str]()
        for load in found.loads:
            one = found.differences[name, load, "completion_mean_s"]
            group = neither if not one.certain else better if one.high < 0 else worse
            group.append(f"{load:g} ({one.mean * _PERCENT:+.0f} %)")
        parts = [
            f"{what} at load {', '.join(loads)}"
            for what, loads in (
                ("shorter", better),
                ("**longer**", worse),
                ("no certain difference", neither),
            )
            if loads
        ]
        yield f"- `{OURS}` against `{name}`, mean completion: {'; '.join(parts)}."


def _keys(found: Found) -> list[str]:
    return [key for key in FIGURES if key in found.titles]


def _loads(found: Found) -> list[str]:
    return [f"load {load:g}" for load in found.loads]


def _mean(one: Interval) -> str:
    return f"{_plain(one.mean)} [{_plain(one.low)}, {_plain(one.high)}]"


def _plain(number: float) -> str:
    """Return three figures, or the whole number where there are more before the point."""
    return f"{number:.0f}" if abs(number) >= _PERCENT else f"{number:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
