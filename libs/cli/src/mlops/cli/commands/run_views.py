# SPDX-License-Identifier: Apache-2.0
"""Run views: runs as tables and a page for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text

from mlops.cli import output
from mlops.cli.runs import Run, datasets, day, figures, length, models, short

_HARDWARE = {
    "energy_j": "energy, J",
    "machine_energy_j": "energy of the machine, J",
    "mean_power_w": "mean power, W",
    "peak_memory_gb": "peak memory, GB",
    "peak_heat_level": "peak heat level (0-4)",
    "throttled_s": "throttled, s",
}
_WIDE = 140
_SHORT = 8


def print_runs(runs: Sequence[Run]) -> None:
    """Print a line for each run."""
    whole = output.console().width >= _WIDE
    columns = ("run", "name", "project", "status", "started", "took", "technique", "chip", "metrics", "models")  # fmt: skip
    rows = [
        (
            run["run_id"] if whole else run["run_id"][:_SHORT],
            run.get("name"),
            run["project"],
            run["status"].lower(),
            day(run.get("started_at")),
            length(run.get("duration_s")),
            run.get("technique"),
            run.get("chip"),
            figures(run.get("metrics") or {}, 2 if whole else 1),
            models(run),
        )
        for run in runs
    ]
    spare = ("chip", "technique", "took", "started", "models", "project")
    output.print_rows(columns, rows, "no runs yet; `mlops workflow start`", spare)


def print_run(run: Run, deployments: Sequence[Mapping[str, Any]]) -> None:
    """Print all that is known of a run."""
    out = output.console()
    out.print(Text.assemble((str(run.get("name") or ""), "bold"), "  ", (run["run_id"], "dim")))
    _section("", _head(run))
    _section("Metrics", (run.get("metrics") or {}).items())
    _section("Throughput", (run.get("throughput") or {}).items())
    _section("Hardware", _hardware(run))
    _section("System", (run.get("system") or {}).items())
    _section("Parameters", (run.get("params") or {}).items())
    _section("Tags", _tags(run))
    _section("Datasets", _data(run))
    _section("Models", [(f"{one['name']}:{one['version']}", "") for one in run.get("models") or ()])
    _section("What became of it", [_rollout(one) for one in deployments])


def _head(run: Run) -> list[tuple[str, object]]:
    ended = day(run.get("ended_at")) or "not ended"
    return [
        ("project", run["project"]),
        ("status", run["status"].lower()),
        ("by", run.get("user")),
        ("started", day(run.get("started_at"))),
        (
            "ended",
            f"{ended}, after {length(run['duration_s'])}" if run.get("duration_s") else ended,
        ),
        ("technique", run.get("technique")),
        ("commit", run.get("source_commit")),
        ("files", run.get("artifact_uri")),
    ]


def _hardware(run: Run) -> list[tuple[str, object]]:
    measured = run.get("hardware") or {}
    missing = {
        name.removeprefix("hw.reason."): why
        for name, why in (run.get("tags") or {}).items()
        if name.startswith("hw.reason.")
    }
    rows: list[tuple[str, object]] = []
    for name, title in _HARDWARE.items():
        if measured.get(name) is not None:
            rows.append((title, _with_source(run, name, measured[name])))
        elif name in missing:
            rows.append((title, f"not measured: {missing[name]}"))
    return rows


def _with_source(run: Run, name: str, value: object) -> object:
    tags = run.get("tags") or {}
    if name != "energy_j" or not tags.get("hw.energy_source"):
        return value
    return f"{short(value)} ({tags['hw.energy_source']}: {tags.get('hw.energy_how', '')})"


def _tags(run: Run) -> list[tuple[str, object]]:
    shown = ("mlops.system.", "mlops.dataset.", "hw.")
    return [
        (name, value)
        for name, value in (run.get("tags") or {}).items()
        if not name.startswith(shown) and name != "mlops.heartbeat"
    ]


def _data(run: Run) -> list[tuple[str, object]]:
    return [
        (datasets({"datasets": [one]}), (one.get("hash") or "")[:12])
        for one in run.get("datasets") or ()
    ]


def _rollout(one: Mapping[str, Any]) -> tuple[str, object]:
    detail = " ".join(filter(None, (one["state"], day(one.get("at")), one.get("reason"))))
    return f"{one['model']}:{one['version']} deployed", detail


def _section(title: str, rows: Iterable[tuple[str, object]]) -> None:
    found = [(name, value) for name, value in rows if value not in (None, "") or title]
    if not found:
        return
    if title:
        output.console().print(Text(f"\n{title}", style="bold"))
    cells = [
        [Text(f"  {name}", style="cyan"), output.cell_of(short(value) if value != "" else Text(""))]
        for name, value in found
    ]
    output.console().print(output.table_of(("", ""), cells, heads=False))
