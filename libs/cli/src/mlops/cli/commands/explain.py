# SPDX-License-Identifier: Apache-2.0
"""explain: why something happened and what came of it, as a tree of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from mlops.cli import output
from mlops.cli.bus import with_bus
from mlops.cli.errors import InputError
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, home_of
from mlops.cli.story import Branch, Said, missing_causes, said_of
from mlops.cli.story import explain as trees_of

if TYPE_CHECKING:
    from mlops.chassis.bus_nats import NatsBus

# There are very many of these: they are read only when something else names one of them as its cause.
_BULK = ("prediction.logged", "label.recorded", "telemetry.sampled")


def explain(
    asked: Annotated[
        str, typer.Argument(help="Event, command, run, workflow, deployment, or MODEL:VERSION.")
    ],
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Tell why something happened and what came of it."""
    from mlops.contracts.catalogue import CATALOGUE  # noqa: PLC0415 - slow to import; help does without

    async def work(bus: NatsBus) -> list[Branch]:
        everything = await _read(bus, [type_ for type_ in CATALOGUE if type_ not in _BULK])
        missing = missing_causes(everything) | {asked}
        bulk = await _read(bus, list(_BULK), missing)
        return trees_of([*everything, *bulk], asked, project)

    trees = with_bus(home_of(home), work)
    if not trees:
        raise InputError(
            f"nothing {f'of project {project!r}' if project else 'on the bus'} is called {asked!r}",
            "give an id that `mlops events tail --since all`, `mlops workflow list` or `mlops deployments` shows",
        )
    if as_json:
        output.print_json([_plain(tree) for tree in trees])
        return
    for tree in trees:
        output.console().print(_tree(tree), soft_wrap=True)


async def _read(bus: NatsBus, types: list[str], only: set[str] | None = None) -> list[Said]:
    found = []
    async for recorded in bus.follow(types, live=False):
        if only is None or recorded.envelope.get("id") in only:
            said = said_of(recorded.envelope)
            if said is not None:
                found.append(said)
    return found


def _tree(branch: Branch, into: Tree | None = None) -> Tree:
    tree = Tree(_line(branch)) if into is None else into.add(_line(branch))
    for effect in branch.effects:
        _tree(effect, tree)
    return tree


def _line(branch: Branch) -> Text:
    said = branch.said
    return Text.assemble(
        (f"+{branch.after_s:.3f} s  ", "dim"),
        (said.type, "bold green" if branch.asked else "bold"),
        (f" {said.scope}", "cyan"),
        f"  {said.line}",
        ("  ◀ asked" if branch.asked else "", "green"),
        (f"  {said.id}", "dim"),
    )


def _plain(branch: Branch) -> dict[str, Any]:
    said = branch.said
    return {
        "id": said.id,
        "type": said.type,
        "scope": said.scope,
        "time": said.at.isoformat(),
        "after_s": branch.after_s,
        "summary": said.line,
        "asked": branch.asked,
        "effects": [_plain(effect) for effect in branch.effects],
    }
