# SPDX-License-Identifier: Apache-2.0
"""How the files of a version keep its model, and which of them would run hidden code when they are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mlops.serving.model.signature import UnservableError

SKLEARN, PYFUNC, ONNX, COREML = "sklearn", "pyfunc", "onnx", "coreml"
LAYERS, MLX, TORCH, TEXT = "layers", "mlx", "torch", "mlx-lm"
LAYERS_FILE = "architecture.json"

# What MLflow or the platform's client writes, the most telling first.
_FLAVORS = {
    "mlx_lm": TEXT,
    "sklearn": SKLEARN,
    "onnx": ONNX,
    "mlx": MLX,
    "pytorch_safetensors": TORCH,
    "coreml": COREML,
    "python_function": PYFUNC,
}
# A traced graph of PyTorch (.pt2) too: its reader unpickles what it cannot read otherwise.
_PICKLED = frozenset(
    {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth", ".pt2", ".ckpt"}
)
# The first bytes of a pickle: the protocol's number, then (from 4 on) a frame, before that any of its usual openings.
_PROTOCOLS = {
    b"\x80\x04": b"\x95",
    b"\x80\x05": b"\x95",
    b"\x80\x02": b"c]}(KX",
    b"\x80\x03": b"c]}(KX",
}
_UNPICKLING = ("joblib", "cloudpickle", "dill", "_pickle")
_WAYS_OUT = {
    SKLEARN: 'log it with mlflow.sklearn.log_model(…, serialization_format="skops")',
    PYFUNC: "log a .py file that calls mlflow.models.set_model(…), or a native format (skops, ONNX, safetensors)",
}


@dataclass(frozen=True)
class Kept:
    """How a model is kept: its format, and the *pickles* among its files."""

    format: str
    pickles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the format as people read it."""
        if self.format == SKLEARN:
            return "sklearn-pickle" if self.pickles else "sklearn-skops"
        return f"{self.format}-pickle" if self.pickles else self.format


def recognise(flavors: Mapping[str, Mapping[str, Any]], heads: Mapping[str, bytes]) -> Kept:
    """Return how a version is kept, by the flavors of its MLmodel (none without one) and the first bytes of each file."""
    kept = _format(flavors, frozenset(heads))
    pickles = {name for name, head in heads.items() if _is_pickle(name, head)}
    if kept == SKLEARN and flavors[SKLEARN].get("serialization_format", "pickle") != "skops":
        pickles.add(
            str(flavors[SKLEARN]["pickled_model"])
        )  # it is unpickled, whatever it looks like
    return Kept(kept, tuple(sorted(pickles)))


def refusal(kept: Kept) -> str:
    """Return why a model that holds pickles is not loaded, and the ways out."""
    way = _WAYS_OUT.get(kept.format, _WAYS_OUT[PYFUNC])
    return (
        f"its files hold pickles ({', '.join(kept.pickles[:3])}), which run whatever code is in them when they are "
        f"loaded; {way}, or set allow_pickle = true in [serve] if you trust who writes the project's models"
    )


def suspect_types(trusted: Sequence[str], standard: AbstractSet[str]) -> list[str]:
    """Return the types that a skops file asks to be trusted though they can run anything.

    *standard* are the modules of Python's own library: `os`, `subprocess`, `builtins` … no estimator needs one.
    """
    roots = standard | frozenset(_UNPICKLING)
    return [one for one in trusted if one.partition(".")[0] in roots]


def coreml_file(names: AbstractSet[str]) -> str:
    """Return the Core ML package, or the one file of the older kind, among a version's files; "" without."""
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        for place, part in enumerate(parts):
            if part.endswith((".mlpackage", ".mlmodel")):
                return "/".join(parts[: place + 1])
    return ""


def onnx_file(names: AbstractSet[str]) -> str:
    """Return the ONNX graph among a version's files; "" without, or with several."""
    found = sorted(name for name in names if name.endswith(".onnx"))
    return found[0] if len(found) == 1 else ""


def text_folder(names: AbstractSet[str]) -> str | None:
    """Return the folder of a language model (config, safetensors, tokenizer); None without, "" at the top."""
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.name != "config.json":
            continue
        folder = "" if str(path.parent) == "." else f"{path.parent}/"
        beside = [one.removeprefix(folder) for one in names if one.startswith(folder)]
        weights = any(one.endswith(".safetensors") for one in beside)
        if weights and any(one.startswith("tokenizer") for one in beside):
            return folder.rstrip("/")
    return None


def _format(flavors: Mapping[str, Mapping[str, Any]], names: AbstractSet[str]) -> str:
    if LAYERS_FILE in names:
        return LAYERS
    if "coreml" in flavors or (coreml_file(names) and "python_function" not in flavors):
        return COREML
    for flavor, found in _FLAVORS.items():
        if flavor in flavors and not (found == SKLEARN and "pickled_model" not in flavors[flavor]):
            return found
    if text_folder(names) is not None:
        return TEXT
    if onnx_file(names):
        return ONNX
    raise UnservableError(
        "neither an MLmodel file nor files that are known here (architecture.json with safetensors, one .onnx file, "
        "a folder of mlx-lm, a Core ML package); log it with mlflow.<flavor>.log_model and register that"
    )


def _is_pickle(name: str, head: bytes) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() in _PICKLED or path.name.startswith("pytorch_model"):
        return True
    if head.startswith(b"PK") and b"data.pkl" in head:  # torch.save, which may have any name
        return True
    opening = _PROTOCOLS.get(head[:2])
    return opening is not None and head[2:3] != b"" and head[2:3] in opening
