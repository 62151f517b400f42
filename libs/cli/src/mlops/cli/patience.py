# SPDX-License-Identifier: Apache-2.0
"""Patience: who waits for something long outlasts a gateway that is started again meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mlops.cli.errors import CliError, DeniedError, InputError

R = TypeVar("R")
_AWAY_S = 60.0
_LOOK_S = 1.0


def patiently(ask: Callable[[], R]) -> R:
    """Return what *ask* returns; its failures count only when they last, refusals at once."""
    since = time.monotonic()
    while True:
        try:
            return ask()
        except (InputError, DeniedError):
            raise
        except CliError:
            if time.monotonic() - since > _AWAY_S:
                raise
        time.sleep(_LOOK_S)
