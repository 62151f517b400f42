# SPDX-License-Identifier: Apache-2.0
"""compatibility(): whether a model runs with MLX, on MPS and with Core ML: `yes`, `no: why` or `unknown: why`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops.client.adapters.order import Facts, refusal
from mlops.client.models import choice

BACKENDS = ("mlx", "mps", "coreml")
_VERDICT = re.compile(r"yes|(no|unknown): \S.{0,300}", re.DOTALL)
# What Metal has no numbers for.
_NOT_ON_METAL = ("float64", "complex128")
_GRAPH = "unknown: Core ML may take part of its operators; not tried"

_KNOWN: Mapping[str, tuple[str, str, str]] = {
    choice.SKLEARN: (
        "no: scikit-learn runs on the CPU",
        "no: scikit-learn runs on the CPU",
        "unknown: coremltools converts some estimators; not tried",
    ),
    choice.MLX: ("yes", "no: MLX uses Metal itself, not MPS", "no: Core ML reads no MLX models"),
    choice.ONNX: ("no: MLX reads no ONNX", "no: ONNX Runtime has no MPS provider", _GRAPH),
    choice.PYFUNC: (
        "unknown: what the Python code calls decides",
        "unknown: what the Python code calls decides",
        "no: Core ML runs no Python code",
    ),
}
_SAME = {choice.MLX_LM: choice.MLX, choice.ONNX_FILE: choice.ONNX}
_FOLDERS = {
    "sklearn": choice.SKLEARN,
    "onnx": choice.ONNX,
    "mlx": choice.MLX,
    "mlx_lm": choice.MLX,
    "pytorch": choice.TORCH,
    "pytorch_safetensors": choice.TORCH,
}


def compatibility(
    flavor: str, facts: Facts, told: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the verdict for each backend; what the user has *told* wins."""
    flavor = _SAME.get(flavor, flavor)
    verdicts = _torch(facts) if flavor == choice.TORCH else _KNOWN[flavor]
    return dict(zip(BACKENDS, verdicts, strict=True)) | _checked(told or {})


def flavor_of_folder(flavors: tuple[str, ...]) -> str:
    """Return by which rules a folder of MLflow is judged, given the flavours in it."""
    return next((_FOLDERS[one] for one in flavors if one in _FOLDERS), choice.PYFUNC)


def _torch(facts: Facts) -> tuple[str, str, str]:
    mlx = "no: a PyTorch module; MLX needs its own class, the weights can be converted"
    wide = sorted(facts.dtypes & set(_NOT_ON_METAL))
    if wide:
        return mlx, f"no: MPS has no {wide[0]}, and the model has such parameters", _GRAPH
    if any(device.startswith("mps") for device in facts.devices):
        return mlx, "yes", _GRAPH
    return mlx, "unknown: no parameter hinders it; not run on MPS", _GRAPH


def _checked(told: Mapping[str, str]) -> dict[str, str]:
    for backend, verdict in told.items():
        if backend not in BACKENDS:
            raise refusal(f"apple names {backend!r}", f"name of these: {', '.join(BACKENDS)}")
        if not _VERDICT.fullmatch(verdict):
            hint = 'say "yes", "no: why" or "unknown: why"'
            raise refusal(f"apple says {verdict!r} of {backend}", hint)
    return dict(told)
