# SPDX-License-Identifier: Apache-2.0
"""PyTorch modules: safetensors and a spec where the module can be made again, else a traced graph, else a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mlflow.pytorch
import numpy as np
import torch

from mlops.client.adapters import architecture
from mlops.client.adapters.mlflow_folder import (
    code_of,
    compare,
    distributions_of,
    measured,
    portable,
    shared,
    signature_of,
)
from mlops.client.adapters.order import Facts, Order, refusal, warn
from mlops.client.adapters.portable import mlops_portable_model as portable_model

FLAVOR = "pytorch_safetensors"
_PICKLED = (
    "this module is written as a pickle, and loading it runs code that is in the file: load it only from where you "
    'trust who writes; give architecture={{"module": …, "class": …, "kwargs": {{…}}}} for safetensors, or as '
    "input_example the arrays that forward() takes (two rows at least) for a traced graph{why}"
)


def facts(model: Any) -> Facts:
    """Return size, types and devices of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return Facts(
        sum(one.numel() * one.element_size() for one in tensors),
        frozenset(_name(one) for one in tensors),
        frozenset(str(one.device) for one in tensors),
    )


def write(model: Any, order: Order) -> None:
    """Write in the safest way that works; `serialization_format` (safetensors, pt2, pickle) chooses one."""
    asked = order.options.get("serialization_format")
    was_training = model.training
    model.eval()
    try:
        if asked not in ("pt2", "pickle") and _rebuilt(model, order):
            return
        if asked == "safetensors":
            raise refusal("nothing says how to make the module again", "give architecture={…}")
        if asked == "pickle" or not _traced(model, order, asked):
            _mlflow(model, order, "pickle")
    finally:
        model.train(was_training)


def _rebuilt(model: Any, order: Order) -> bool:
    shapes = {name: tuple(one.shape) for name, one in model.state_dict().items()}

    def same(plan: Mapping[str, Any]) -> bool:
        built = portable_model.build({"architecture": plan})
        compare({name: tuple(one.shape) for name, one in built.state_dict().items()}, shapes)
        return _says_the_same(model, built, order)

    plan = architecture.plan(model, order, None, same)
    if plan is None:
        return False
    found = signature_of(order, lambda data: portable_model.run("pytorch", model, data))
    code = code_of(plan["module"], order.options.get("code_paths"))
    described = {
        "weights": portable_model.WEIGHTS,
        "spec": portable_model.SPEC,
        "pytorch_version": str(torch.__version__),
    }
    portable(
        replace(order, signature=found),
        FLAVOR,
        described,
        code,
        "torch",
        "safetensors",
        "numpy",
        "pandas",
        *distributions_of([type(model).__module__]),
    )
    _write_files(model, order, plan)
    measured(order.folder)
    return True


def _write_files(model: Any, order: Order, plan: Mapping[str, Any]) -> None:
    from safetensors.torch import save_model  # noqa: PLC0415 - the other ways do without

    spec = {
        "format": 1,
        "framework": "pytorch",
        "framework_version": str(torch.__version__),
        "class": architecture.class_of(model),
        "architecture": plan,
        "parameters": sum(one.numel() for one in model.parameters()),
        "tensors": {
            name: {"shape": list(one.shape), "dtype": _name(one)}
            for name, one in model.state_dict().items()
        },
    }
    save_model(model, str(order.folder / portable_model.WEIGHTS))
    (order.folder / portable_model.SPEC).write_text(json.dumps(spec, indent=1))


def _says_the_same(model: Any, built: Any, order: Order) -> bool:
    if order.input_example is None:
        return False
    built.load_state_dict(model.state_dict())
    built.eval()
    here, there = (
        portable_model.run("pytorch", one, order.input_example) for one in (model, built)
    )
    return bool(np.allclose(here, there, equal_nan=True))


def _traced(model: Any, order: Order, asked: str | None) -> bool:
    try:
        _mlflow(model, order, "pt2")
    except Exception as error:
        # Tracing runs the user's code under rules of its own; whatever it says, the pickle remains.
        if asked is not None:
            raise
        shutil.rmtree(order.folder, ignore_errors=True)
        why = (
            f" (tracing said: {str(error).splitlines()[0][:200]})"
            if order.input_example is not None
            else ""
        )
        warn(_PICKLED.format(why=why))
        return False
    return True


def _mlflow(model: Any, order: Order, way: str) -> None:
    words = shared(order, "torch", "numpy", "pandas", "cloudpickle")
    home = type(model).__module__
    if way == "pickle" and home != "__main__":  # what is in the program itself goes into the pickle
        code = code_of(home, order.options.get("code_paths"))
        words["code_paths"] = [*words.get("code_paths", []), *code] or None
    mlflow.pytorch.save_model(model, **words, serialization_format=way)


def _name(one: Any) -> str:
    return str(one.dtype).removeprefix("torch.")
