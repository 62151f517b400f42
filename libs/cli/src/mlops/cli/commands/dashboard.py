# SPDX-License-Identifier: Apache-2.0
"""dashboard: the status page, or MLflow's, in the browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated
from urllib.parse import urlencode

import typer

from mlops.cli import output
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, home_of

_MLFLOW = "/mlflow/"
_Open = Annotated[
    bool, typer.Option("--open/--no-open", help="Open the browser, or print the address only.")
]


def dashboard(
    mlflow: Annotated[bool, typer.Option("--mlflow", help="MLflow's pages instead.")] = False,  # noqa: FBT002 - an option
    browser: _Open = True,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Open the status page in the browser; the address holds the token, which the page turns into a cookie."""
    with Gateway(home_of(home)) as gateway:
        gateway.get("/v2/health/live")  # a page that cannot be reached says nothing
        asked = {"token": gateway.token} | ({"next": _MLFLOW} if mlflow else {})
        plain = gateway.address + (_MLFLOW if mlflow else "/")
        address = f"{gateway.address}/?{urlencode(asked)}"
    if as_json:
        output.print_json({"url": address})
        return
    if not browser:
        output.console().print(address, soft_wrap=True, markup=False)
        return
    if not webbrowser.open(address):
        raise CliError(
            "no browser could be opened here", "`mlops dashboard --no-open` prints the address"
        )
    output.say(f"opened {plain}")
