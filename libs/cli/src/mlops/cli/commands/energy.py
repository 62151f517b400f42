# SPDX-License-Identifier: Apache-2.0
"""energy: what projects, workflows, runs and served versions took, as bars; measured and estimated apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from mlops.cli import output
from mlops.cli.amounts import amount
from mlops.cli.gateway import Gateway
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, home_of
from mlops.cli.runs import day, short

_WIDE = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MEASURED, _ESTIMATED = "green", "yellow"
Row = Mapping[str, Any]


class By(StrEnum):
    """What a line stands for."""

    DAY = "day"
    WORKFLOW = "workflow"
    RUN = "run"
    VERSION = "version"


def energy(
    project: AnyProjectOption = "",
    by: Annotated[By, typer.Option(help="A line for each of these.")] = By.DAY,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=1000, help="At most so many, the newest.")
    ] = 30,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the energy that work took: by day, workflow, run or model version."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/energy", project=project, by=by.value, limit=count)
    if as_json:
        output.print_json(found)
        return
    rows: list[Row] = found["rows"]
    columns, cells = _VIEWS[by]
    most = max((float(one["joules"] or 0.0) for one in rows), default=0.0)
    shown = [(*cells(one), amount(one.get("joules")), _bar(one, most)) for one in rows]
    none = "no energy is known yet; it is told when a run or a workflow ends"
    spare = [name for name in _SPARE if name in columns]
    output.print_rows((*columns, "energy", ""), shown, none, spare)
    if rows:
        _sum_up(found)


def _bar(one: Row, most: float) -> Text:
    """Return a bar of eighths of a cell: what was measured, then what was estimated."""
    joules, measured_j = float(one.get("joules") or 0.0), float(one.get("measured_j") or 0.0)
    if most <= 0 or joules <= 0:
        return Text("")
    solid = _blocks(measured_j / most)
    rest = _blocks(joules / most)[len(solid) :] if measured_j < joules else ""
    return Text.assemble((solid, _MEASURED), (rest, _ESTIMATED))


def _blocks(part: float) -> str:
    eighths = max(1, round(part * _WIDE * 8)) if part > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _sum_up(found: Mapping[str, Any]) -> None:
    joules, measured_j = found.get("joules"), found.get("measured_j") or 0.0
    if joules is None:
        output.console().print("no machine here tells what it draws; `mlops top` says why")
        return
    share = measured_j / joules if joules else 0.0
    line = Text.assemble(
        (f"{amount(joules)} since {found.get('since')}", "bold"),
        f", {share:.0%} measured ",
        ("█", _MEASURED),
        ", the rest estimated ",
        ("█", _ESTIMATED),
    )
    output.console().print(line)


def _day(one: Row) -> Sequence[object]:
    answers = one.get("predictions")
    return (
        one["day"],
        one["project"],
        amount(one["serving_j"]) if answers else None,
        answers or None,
    )


def _workflow(one: Row) -> Sequence[object]:
    return one["workflow"], one["project"], one["title"], one["state"], day(one["ended_at"])


def _run(one: Row) -> Sequence[object]:
    return one["run"], one["title"], one["project"], one["state"], one["workflow"], day(one["ended_at"])  # fmt: skip


def _version(one: Row) -> Sequence[object]:
    per_1000 = one.get("joules_per_1000")
    return (
        f"{one['model']}:{one['version']}",
        one["project"],
        amount(one["training_j"]) if one.get("training_j") is not None else None,
        amount(one["serving_j"]) if one.get("predictions") else None,
        one.get("predictions") or None,
        None if per_1000 is None else f"{short(per_1000)} J",
    )


_SPARE = ("ended", "name", "state", "kind", "answers", "of it serving", "project", "in workflow")
_VIEWS: dict[By, tuple[tuple[str, ...], Callable[[Row], Sequence[object]]]] = {
    By.DAY: (("day", "project", "of it serving", "answers"), _day),
    By.WORKFLOW: (("workflow", "project", "kind", "state", "ended"), _workflow),
    By.RUN: (("run", "name", "project", "state", "in workflow", "ended"), _run),
    By.VERSION: (("version", "project", "training", "serving", "answers", "per 1000"), _version),
}
