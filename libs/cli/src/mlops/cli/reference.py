# SPDX-License-Identifier: Apache-2.0
"""Reference: every word of the command as docs/reference/cli.md, and every call of the client as client.md.

`python -m mlops.cli.reference` writes it, `--check` only says whether it is as it would be written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mlops.cli import client_reference
from mlops.cli.checkout import find_checkout
from mlops.cli.commands import original
from mlops.cli.main import app
from mlops.cli.words import CODES

REGENERATE = ".venv/bin/python -m mlops.cli.reference"
PAGE = Path("docs", "reference", "cli.md")
CLIENT_PAGE = Path("docs", "reference", "client.md")
_HIDDEN = ("help", "install_completion", "show_completion")
_HEAD = f"""# The command line

Written by `just reference` (`{REGENERATE}`) from the command itself; do not edit it by hand.

- {CODES}
- Results go to standard output, progress and errors to standard error; an error says what, which, and the fix.
- `--json` prints a result for programs: one document, or a line for each thing where things come one by one.
- `--project/-p` is the project whose folder this is, where none is named; `--home` stands before or after the word.
- `MLOPS_GATEWAY_URL` and `MLOPS_TOKEN` name a platform on another machine; words that read the bus itself
  (`events tail`, `events show`, `events dlq`, `explain`) and the platform's processes need its home.
- `mlops --install-completion` teaches the shell the words, and the names of projects, models, runs and workflows.
"""
_ORIGINAL = """## `efficientai-toolkit`

The names of the original plan; each does what the word of `mlops` does.

| name | does |
|---|---|
"""


def page() -> str:
    """Return the whole page; the same words give the same page."""
    command = typer.main.get_command(app)
    parts = [_HEAD]
    parts += [_entry(names, found) for names, found in _words(command, ("mlops",))]
    rows = [
        f"| `{usage_of(found, names)}` | {_cell(found.help or '')} |"
        for names, found in _words(typer.main.get_command(original.app), ("efficientai-toolkit",))
    ]
    return "\n".join([*parts, _ORIGINAL + "\n".join(rows) + "\n"])


def usage_of(command: Any, names: tuple[str, ...]) -> str:
    """Return how a word is written, with its arguments."""
    arguments = [_argument(one) for one in command.params if one.param_type_name == "argument"]
    return " ".join([*names, *arguments])


def main(words: list[str]) -> int:
    """Write the pages, or compare them; 1 when one differs."""
    root = find_checkout()
    if root is None:
        sys.stderr.write("there are no docs beside installed packages; clone the repository\n")
        return 2
    pages = {PAGE: page(), CLIENT_PAGE: client_reference.page()}
    if words != ["--check"]:
        for name, wanted in pages.items():
            (root / name).write_text(wanted, encoding="utf-8")
        return 0
    differing = [name for name, wanted in pages.items() if _read(root / name) != wanted]
    for name in differing:
        sys.stderr.write(f"{name} differs from the code; write it anew: {REGENERATE}\n")
    return 1 if differing else 0


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _words(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield names, command
    for name, found in (inner or {}).items():
        yield from _words(found, (*names, name))


def _entry(names: tuple[str, ...], command: Any) -> str:
    told = " ".join((command.callback.__doc__ or command.help or "").split())
    lines = [f"## `{usage_of(command, names)}`", "", told, ""]
    rows = [
        f"| `{_written(one)}` | {_cell(one.help or '')}{_default(one)} |"
        for one in command.params
        if one.name not in _HIDDEN
    ]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _written(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    names = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        names += " / " + ", ".join(parameter.secondary_opts)
    return names if parameter.is_flag else f"{names} {parameter.opts[0].lstrip('-').upper()}"


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper())
    name = name.replace("|", " or ") if parameter.metavar else name
    return name if parameter.required else f"[{name}]"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", False) or callable(value) or parameter.param_type_name == "argument":
        return ""
    if value is True:
        return f" Default: `{parameter.opts[0]}`."
    return f" Default: {value:g}." if isinstance(value, float) else f" Default: `{value}`."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
