# SPDX-License-Identifier: Apache-2.0
"""MLX modules: safetensors, and a spec that says how to make the module again; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from importlib import metadata
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from mlops.client.adapters import architecture
from mlops.client.adapters.mlflow_folder import (
    code_of,
    compare,
    distributions_of,
    measured,
    portable,
    signature_of,
)
from mlops.client.adapters.order import Facts, Order, warn
from mlops.client.adapters.portable import mlops_portable_model as portable_model

_QUANTISED = ("group_size", "bits")


def facts(model: Any) -> Facts:
    """Return size and types of the parameters."""
    arrays = _arrays(model)
    size = sum(array.nbytes for array in arrays.values())
    return Facts(size, frozenset(_name(array) for array in arrays.values()))


def write(model: Any, order: Order) -> None:
    """Write weights and spec; without a way to make the module again there is no `python_function`."""
    arrays = _arrays(model)
    spec = _spec(model, arrays)
    plan = architecture.plan(
        model, order, _own_plan(model), lambda plan: _try(model, arrays, spec, plan, order)
    )
    spec["architecture"] = plan
    code = code_of(plan["module"], order.options.get("code_paths")) if plan else []
    if not plan:
        warn(architecture.LOST.format(what=f"mlx {spec['class']['name']}"))
    model.eval()
    found = signature_of(order, lambda data: portable_model.run("mlx", model, data))
    order = replace(order, signature=found)
    portable(
        order,
        "mlx",
        _described(spec),
        code,
        "mlx",
        "numpy",
        "pandas",
        *distributions_of([spec["class"]["module"]]),
    )
    mx.save_safetensors(str(order.folder / portable_model.WEIGHTS), arrays, {"format": "mlx"})
    (order.folder / portable_model.SPEC).write_text(json.dumps(spec, indent=1))
    measured(order.folder, runs=plan is not None)


def _arrays(model: Any) -> dict[str, mx.array]:
    found = dict(tree_flatten(model.parameters()))
    mx.eval(list(found.values()))
    return found


def _spec(model: Any, arrays: Mapping[str, mx.array]) -> dict[str, Any]:
    return {
        "format": 1,
        "framework": "mlx",
        "framework_version": metadata.version("mlx"),
        "class": architecture.class_of(model),
        "architecture": None,
        "quantization": _quantisation(model),
        "parameters": sum(array.size for array in arrays.values()),
        "tensors": {
            name: {"shape": list(array.shape), "dtype": _name(array)}
            for name, array in arrays.items()
        },
    }


def _described(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "weights": portable_model.WEIGHTS,
        "spec": portable_model.SPEC,
        "mlx_version": spec["framework_version"],
        "class": "{module}.{name}".format(**spec["class"]),
    }


def _quantisation(model: Any) -> dict[str, Any] | None:
    layers = {
        path: {
            name: getattr(module, name) for name in (*_QUANTISED, "mode") if hasattr(module, name)
        }
        for path, module in model.named_modules()
        if all(isinstance(getattr(module, name, None), int) for name in _QUANTISED)
    }
    return {"layers": layers} if layers else None


def _own_plan(model: Any) -> dict[str, Any] | None:
    """Return how mlx-lm made a model of its own: its class, called with its `args`."""
    kind, args = type(model), getattr(model, "args", None)
    if not kind.__module__.startswith("mlx_lm.models."):
        return None
    if not is_dataclass(args) or isinstance(args, type):
        return None
    return {
        "module": kind.__module__,
        "class": kind.__qualname__,
        "config_class": type(args).__qualname__,
        "config": asdict(args),
    }


def _try(
    model: Any,
    arrays: Mapping[str, mx.array],
    spec: dict[str, Any],
    plan: Mapping[str, Any],
    order: Order,
) -> bool:
    """Refuse a plan that makes other parameters; return whether it says the same to the example."""
    built = portable_model.build({**spec, "architecture": plan})
    shapes = {name: array.shape for name, array in tree_flatten(built.parameters())}
    compare(shapes, {name: array.shape for name, array in arrays.items()})
    if order.input_example is None:
        return False
    built.load_weights(list(arrays.items()), strict=True)
    built.eval()
    model.eval()
    here, there = (portable_model.run("mlx", one, order.input_example) for one in (model, built))
    return bool(np.allclose(here, there, equal_nan=True))


def _name(array: mx.array) -> str:
    return str(array.dtype).removeprefix("mlx.core.")
