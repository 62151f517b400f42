# SPDX-License-Identifier: Apache-2.0
"""Models in Python code: a PythonModel, a function, or a file with the code of one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from mlflow import pyfunc

from mlops.client.adapters.mlflow_folder import own, shared
from mlops.client.adapters.order import Facts, Order, refusal, warn

_ARGUMENT = "model_input"


def facts(model: Any) -> Facts:  # noqa: ARG001 - only writing it tells
    """Return nothing; code has no size worth a look."""
    return Facts()


def write(model: Any, order: Order) -> None:
    """Let MLflow write it; requirements that are not given are found by loading the model once."""
    words = shared(order) | own(order, ("artifacts", "model_config"))
    if isinstance(model, str | Path):
        model = str(model)
    elif not isinstance(model, pyfunc.PythonModel):
        model = _of_one_argument(model)
        if order.input_example is None:
            # Or MLflow refuses a function without an example.
            words.setdefault("pip_requirements", [])
    if not isinstance(model, str):
        warn(
            "a Python object is written with cloudpickle, and loading it runs code that is in the file: give the "
            "path of a .py file that calls mlflow.models.set_model(…), with flavor='pyfunc', for readable code"
        )
    pyfunc.save_model(python_model=model, **words)


def _of_one_argument(model: Any) -> Any:
    """Return the function under the name of argument that MLflow wants; its hints stay, for the signature."""
    name = _argument(model)
    if name == _ARGUMENT:
        return model

    def predict(model_input):  # type: ignore[no-untyped-def]  # the hints are the user's
        return model(model_input)

    hints = dict(getattr(model, "__annotations__", {}))
    predict.__annotations__ = {
        key: hints[own] for own, key in ((name, _ARGUMENT), ("return", "return")) if own in hints
    }
    return predict


def _argument(model: Any) -> str:
    try:
        taken = inspect.signature(model).parameters.values()
    except ValueError:  # some built-in functions do not tell
        return ""
    needed = [one.name for one in taken if one.default is inspect.Parameter.empty]
    if len(needed) != 1:
        hint = "wrap it: lambda rows: your_function(rows, …)"
        raise refusal(f"the function takes {len(needed)} arguments; a model takes one", hint)
    return needed[0]
