# SPDX-License-Identifier: Apache-2.0
"""What a Bento's own environment needs: the libraries of its backend, as they are installed where it was packed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from mlops.serving.model import formats

_NEEDS: dict[str, tuple[str, ...]] = {
    "sklearn": ("numpy", "pandas", "scikit-learn"),
    "onnxruntime": ("numpy", "onnxruntime"),
    "numpy": ("numpy",),
    "mlx": ("numpy", "mlx"),
    "mlx-lm": ("numpy", "mlx", "mlx-lm"),
    "coreml": ("numpy", "coremltools"),
    **dict.fromkeys(("torch-mps", "torch-cuda", "torch-cpu"), ("numpy", "torch")),
}
# What MLflow lists for its own loader, which these backends do without.
_NOT_NEEDED = frozenset({"mlflow", "pandas"})
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def packages_for(kept: str, backend: str, folder: Path, loader: dict[str, Any]) -> list[str]:
    """Return the requirements of a Bento."""
    listed = _listed(folder)
    if backend == "pyfunc":
        return listed or [_pinned("mlflow")]
    needed = [*_NEEDS[backend], *_more(kept, backend, loader)]
    found = [pin for name in needed for pin in _pins(name)]
    if kept in (formats.MLX, formats.TORCH):  # its module may come from any distribution
        known = {_name(one) for one in found} | _NOT_NEEDED
        found += [one for one in listed if _name(one) not in known]
    return found


def _more(kept: str, backend: str, loader: dict[str, Any]) -> list[str]:
    if kept == formats.LAYERS and backend == "onnxruntime":
        return ["onnx"]
    if kept == formats.TORCH:
        return ["safetensors"]
    if kept != formats.SKLEARN:
        return []
    written = ["skops"] if loader["serialization"] == "skops" else ["cloudpickle"]
    sources = metadata.packages_distributions()
    roots = {one.partition(".")[0] for one in loader["trusted"]}
    return [
        *written,
        *sorted(sources[one][0] for one in roots - {"sklearn", "numpy"} if one in sources),
    ]


def _pins(name: str) -> list[str]:
    if name != "mlx":
        return [_pinned(name)]
    version = _pinned("mlx").partition("==")[2]
    pin = f"=={version}" if version else ""
    return [f"mlx{pin}; sys_platform == 'darwin'", f"mlx[cpu]{pin}; sys_platform == 'linux'"]


def _pinned(name: str) -> str:
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return name


def _listed(folder: Path) -> list[str]:
    path = folder / "requirements.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [
        line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))
    ]


def _name(requirement: str) -> str:
    found = _NAME.match(requirement)
    return found.group().lower().replace("_", "-") if found else ""
