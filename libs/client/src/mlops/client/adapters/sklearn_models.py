# SPDX-License-Identifier: Apache-2.0
"""scikit-learn estimators, written by skops where it can, so that loading runs no foreign code."""

from __future__ import annotations

import shutil
from typing import Any

import mlflow.sklearn
from mlflow.exceptions import MlflowException

from mlops.client.adapters.mlflow_folder import distributions_of, own, shared
from mlops.client.adapters.order import Facts, Order, warn

_BASE = ("scikit-learn", "numpy", "scipy", "pandas")
_OWN = ("serialization_format", "skops_trusted_types", "pyfunc_predict_fn")


def facts(model: Any) -> Facts:  # noqa: ARG001 - only writing it tells
    """Return nothing; an estimator does not know its size."""
    return Facts()


def write(model: Any, order: Order) -> None:
    """Write by skops with the types that are in the model; else by cloudpickle, and say so."""
    if order.options.get("serialization_format", "skops") != "skops":
        _save(model, order, {}, ("cloudpickle",))
        return
    try:
        trusted = order.options.get("skops_trusted_types")
        found = list(trusted) if trusted is not None else _types(model)
        words = {"serialization_format": "skops", "skops_trusted_types": found or None}
        _save(model, order, words, ("skops", *distributions_of(found)))
    except (ImportError, MlflowException, *_skops_errors()) as error:
        if "serialization_format" in order.options:
            raise
        shutil.rmtree(order.folder, ignore_errors=True)
        warn(
            f"skops cannot write this model ({_reason(error)}); it is written with cloudpickle, and "
            "loading it runs code that is in the file: load it only from where you trust who writes"
        )
        words = {"serialization_format": "cloudpickle", "skops_trusted_types": None}
        _save(model, order, words, ("cloudpickle",))


def _types(model: Any) -> list[str]:
    from skops import io  # noqa: PLC0415 - a model may be written without

    return list(io.get_untrusted_types(data=io.dumps(model)))


def _reason(error: Exception) -> str:
    lines = str(error.__cause__ or error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _skops_errors() -> tuple[type[Exception], ...]:
    # What skops raises for lambdas, local classes and objects that it does not know.
    return (TypeError, AttributeError, NotImplementedError, ValueError, KeyError)


def _save(model: Any, order: Order, words: dict[str, Any], needed: tuple[str, ...]) -> None:
    mlflow.sklearn.save_model(model, **(shared(order, *_BASE, *needed) | own(order, _OWN) | words))
