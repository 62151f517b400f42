# SPDX-License-Identifier: Apache-2.0
"""How to make a module again without pickling it: the user's word, the library's own, or its class without arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlops.client.adapters.order import Order, refusal
from mlops.client.errors import MLOpsClientError

LOST = (
    "{what} is saved as weights only: nothing here says how to make the module again, so mlflow.pyfunc cannot load "
    'it; give architecture={{"module": …, "class": …, "kwargs": {{…}}}}, and input_example='
)
_KEYS = frozenset({"module", "class", "kwargs", "config_class", "config"})

Plan = dict[str, Any]


def class_of(model: Any) -> dict[str, str]:
    """Return where the class of a module is."""
    kind = type(model)
    return {"module": kind.__module__, "name": kind.__qualname__}


def plan(model: Any, order: Order, own: Plan | None, same: Callable[[Plan], bool]) -> Plan | None:
    """Return how to make the module again, tried out; None when nobody knows.

    *same* makes it, raises MLOpsClientError when its parameters differ, and says whether it answers the same to
    the input example. A plan that was only guessed must answer the same: defaults may hide what shapes do not show.
    """
    told = order.options.get("architecture")
    if told is not None:
        found = checked(told, model)
        _made(found, same)
        return found
    if own is not None:
        same(own)
        return own
    if order.input_example is None:
        return None
    guess = {"module": type(model).__module__, "class": type(model).__qualname__, "kwargs": {}}
    return guess if _guessed(guess, same) else None


def checked(told: Any, model: Any) -> Plan:
    """Return the user's architecture in full; MLOpsClientError when it cannot be written down or imported."""
    if not isinstance(told, Mapping) or not set(told) <= _KEYS:
        raise refusal(f"architecture is {told!r}", f"give a dict of: {', '.join(sorted(_KEYS))}")
    where = class_of(model)
    found = {"module": where["module"], "class": where["name"], **told}
    if "config_class" in found:
        found.setdefault("config", {})
    else:
        found.setdefault("kwargs", {})
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise refusal(
            f"architecture cannot be written as JSON: {error}", "give plain values"
        ) from error
    if _hidden(found):
        told = f"no other program can import {found['module']}.{found['class']}"
        raise refusal(told, "move the class to the top of a module, and give code_paths=[its file]")
    return found


def _made(found: Plan, same: Callable[[Plan], bool]) -> None:
    try:
        same(found)
    except MLOpsClientError:
        raise
    except Exception as error:
        told = f"{found['module']}.{found['class']} cannot be made from architecture: {error!r}"
        raise refusal(told, "give the arguments that the model was made with") from error


def _guessed(guess: Plan, same: Callable[[Plan], bool]) -> bool:
    if _hidden(guess):
        return False
    try:
        return same(guess)
    except Exception:  # noqa: BLE001 - any failure of a guess means that it is wrong
        return False


def _hidden(found: Plan) -> bool:
    return found["module"] == "__main__" or "<locals>" in found["class"]
