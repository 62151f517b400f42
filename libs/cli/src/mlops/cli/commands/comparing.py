# SPDX-License-Identifier: Apache-2.0
"""Comparing: runs side by side and techniques by chip, the best marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.rule import Rule
from rich.text import Text

from mlops.cli import output
from mlops.cli.runs import short

_KINDS = {
    "metric": "Metrics",
    "hardware": "Hardware",
    "param": "Parameters",
    "dataset": "Datasets",
    "system": "System",
    "tag": "Tags",
}
_SHORT = 8
_BEST = "bold green"
_MEASURED = ("throughput /s", "energy J", "memory GB", "heat")
_BY = {
    "metric": "best metric",
    "throughput": "fastest",
    "energy": "least energy",
    "memory": "least memory",
    "heat": "coolest",
}
_SAID = (("tag", "technique"), ("system", "chip"))
_FACTS = ("project", "status", "technique", "chip")


def print_comparison(found: Mapping[str, Any], *, everything: bool) -> None:
    """Print a column for each run; rows that do not differ only when *everything* is wanted."""
    runs = found["runs"]
    rows = [row for row in found["rows"] if everything or not row["same"]]
    rows = [row for row in rows if (row["kind"], row["name"]) not in _SAID]
    columns = ["", *(str(run.get("name") or run["run_id"][:_SHORT]) for run in runs)]
    cells = [_facts("run", [run["run_id"][:_SHORT] for run in runs])]
    cells += [_facts(name, [_fact(run, name) for run in runs]) for name in _FACTS]
    for kind, title in _KINDS.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        if of_kind:
            cells.append([Text(title, style="bold"), *(Text("") for _ in runs)])
            cells += [_row(row) for row in of_kind]
    output.console().print(output.table_of(columns, cells, right=range(1, len(columns))))
    same = sum(row["same"] for row in found["rows"])
    if same and not everything:
        output.say(f"\n{same} rows do not differ; --all shows them")
    if found.get("left_out"):
        output.say(f"{found['left_out']} rows did not fit into the answer; compare fewer runs")


def print_techniques(found: Mapping[str, Any]) -> None:
    """Print a table for each chip: what each technique reached, and which is best at what."""
    chips = found["chips"]
    if not chips:
        output.say("no finished run names a technique; start runs with the tag `mlops.technique`")
        return
    out = output.console()
    metric = found.get("metric") or "metric"
    for chip in chips:
        title = Text(str(chip["chip"] or "unknown chip"), style="bold")
        out.print(Rule(title, align="left", style="dim"))
        output.print_rows(
            ("technique", "runs", metric, *_MEASURED, "best at", "projects"),
            [_technique(one, chip["best"]) for one in chip["techniques"]],
            "no techniques",
            ("projects", "heat"),
        )


def _technique(one: Mapping[str, Any], best: Mapping[str, str]) -> list[object]:
    name = one["technique"]
    won = {what for what, winner in best.items() if winner == name}
    figures = (
        ("metric", one.get("metric_median")),
        ("throughput", one.get("throughput_median")),
        ("energy", one.get("energy_j_median")),
        ("memory", one.get("peak_memory_gb_median")),
        ("heat", one.get("peak_heat_level_max")),
    )
    shown = [Text(short(value), style=_BEST if what in won else "") for what, value in figures]
    titles = ", ".join(_BY[what] for what in _BY if what in won)
    projects = one.get("projects")
    named = ", ".join(projects) if isinstance(projects, list) else projects
    return [Text(name, style=_BEST if won else ""), one["runs"], *shown, titles, named]


def _facts(title: str, values: Sequence[object]) -> list[Text]:
    return [Text(title, style="dim"), *(output.cell_of(value) for value in values)]


def _fact(run: Mapping[str, Any], name: str) -> object:
    value = run.get(name)
    return str(value).lower() if name == "status" else value


def _row(row: Mapping[str, Any]) -> list[Text]:
    unit = f" ({row['unit']})" if row.get("unit") else ""
    cells = [Text(f"  {row['name']}{unit}", style="cyan")]
    for at, value in enumerate(row["values"]):
        best = at == row.get("best")
        text = _version(value) if row["kind"] == "dataset" else short(value)
        cells.append(Text(f"{text} ★" if best else text, style=_BEST if best else ""))
    return cells


def _version(value: object) -> str:
    version, _, content = str(value or "-").partition("@")
    return f"v{version} {content[:_SHORT]}" if content else version
