# SPDX-License-Identifier: Apache-2.0
"""`mlops deploy --emit`: its options, where the manifest goes, and what its reader is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from mlops.cli import output
from mlops.cli.emit.wanted import Target, Wanted
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home

EmitOption = Annotated[
    Target | None,
    typer.Option(
        "--emit", help="Deploy nothing: write the manifest by which others run what runs here."
    ),
]
ImageOption = Annotated[
    str, typer.Option("--image", help="With --emit: the image, as the cluster finds it.")
]
StorageOption = Annotated[
    str,
    typer.Option(
        "--storage-uri",
        help="With --emit kserve: the MLflow model's folder; KServe's own runtime answers from it.",
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="With --emit: its name there; default: project and model.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="With --emit: write this file, not standard output."),
]


def emit(
    wanted: Wanted, home: Home, project: str, model: str, version: int | None, *, as_json: bool
) -> None:
    """Write the manifest to standard output or the file, and what is left to do to standard error."""
    from mlops.cli.emit.deployed import read  # noqa: PLC0415 - every other word does without
    from mlops.cli.emit.writers import written  # noqa: PLC0415 - as above

    with Gateway(home) as gateway:
        deployed = read(gateway, project, model, version)
    manifest = written(deployed, wanted)
    text = output.as_json(manifest.content, indent=2) + "\n" if as_json else manifest.yaml()
    output.write_text(text, wanted.file)
    if wanted.file is not None:
        output.errors().print(Text(f"written: {wanted.file}"))
    for note in manifest.notes:
        output.errors().print(Text.assemble(("note: ", "bold"), output.harmless(note)))
