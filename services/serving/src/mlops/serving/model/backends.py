# SPDX-License-Identifier: Apache-2.0
"""What runs a model: chosen by how it is kept and what the device has, unless somebody says otherwise.

The order: MLX on Metal, PyTorch on MPS, then CUDA, then the CPU, ONNX Runtime, NumPy; but on a CPU ONNX Runtime goes
before PyTorch and MLX, which are slower there and heavier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.serving.model import formats

AUTO = "auto"
SKLEARN, PYFUNC, ONNX, COREML = "sklearn", "pyfunc", "onnxruntime", "coreml"
MLX, TEXT, NUMPY = "mlx", "mlx-lm", "numpy"
MPS, CUDA, CPU = "torch-mps", "torch-cuda", "torch-cpu"
TORCH = (MPS, CUDA, CPU)

# By format: what can run it, the best first.
ORDER: Mapping[str, tuple[str, ...]] = {
    formats.LAYERS: (MLX, MPS, CUDA, ONNX, CPU, NUMPY),
    formats.TORCH: (MPS, CUDA, CPU, PYFUNC),
    formats.MLX: (MLX, PYFUNC),
    formats.ONNX: (ONNX, PYFUNC),
    formats.SKLEARN: (SKLEARN, PYFUNC),
    formats.PYFUNC: (PYFUNC,),
    formats.COREML: (COREML,),
    formats.TEXT: (TEXT,),
}
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    MLX: ("mlx",),
    TEXT: ("mlx", "mlx_lm"),
    ONNX: ("onnxruntime",),
    COREML: ("coremltools",),
    SKLEARN: ("sklearn",),
    PYFUNC: ("mlflow",),
    NUMPY: ("numpy",),
    **dict.fromkeys(TORCH, ("torch",)),
}
_ALSO = {"torch": TORCH, "onnx": (ONNX,), "mlx_lm": (TEXT,)}
_WHY = {
    MLX: "MLX computes on Metal here",
    MPS: "PyTorch computes on Metal (MPS) here",
    CUDA: "PyTorch computes on CUDA here",
    CPU: "PyTorch on the CPU is what is installed here",
    NUMPY: "NumPy computes it without any framework, and no other is installed here",
    SKLEARN: "a scikit-learn model is loaded without MLflow: smaller, faster",
    PYFUNC: "of its flavors only MLflow's python_function is general",
    COREML: "Core ML packages run on this system",
    TEXT: "a language model of mlx-lm",
}


class ImpossibleBackendError(ValueError):
    """Nothing that is allowed can run the model here; says why not, and what could."""


@dataclass(frozen=True)
class Device:
    """What the machine has that matters; *libraries* can be imported, *providers* are those of ONNX Runtime."""

    system: str
    machine: str
    python: str
    libraries: frozenset[str]
    metal: bool = False
    mps: bool = False
    cuda: bool = False
    providers: tuple[str, ...] = ("CPUExecutionProvider",)

    @property
    def platform(self) -> str:
        """Return system, processor and Python as a label says them."""
        return f"{self.system}-{self.machine}-py{self.python}"


@dataclass(frozen=True)
class Wish:
    """What is asked for: by the project, else for every project of the installation."""

    project: str = AUTO
    everywhere: str = AUTO


@dataclass(frozen=True)
class Choice:
    """What runs a model, and why that."""

    backend: str
    reason: str


def choose(kept: str, device: Device, wish: Wish = Wish(), *, general: bool = True) -> Choice:
    """Return what runs a model of a format; ImpossibleBackendError says what could.

    *general*: the version has MLflow's python_function, which `pyfunc` needs.
    """
    able = tuple(one for one in ORDER[kept] if general or one != PYFUNC)
    if wish.project != AUTO:
        return _wanted(kept, able, wish.project, device, 'the project asks for backend = "{}"')
    # A word for the whole installation cannot fit every format: where it names nothing of this one, it says nothing.
    if wish.everywhere != AUTO and any(one in able for one in _meant(wish.everywhere)):
        return _wanted(kept, able, wish.everywhere, device, "SERVING_BACKEND asks for {}")
    for backend in able:
        if not (hindrance(backend, kept, device) or _reluctance(backend, kept, device)):
            return Choice(backend, _because(backend, device))
    for backend in able:  # MLX on a CPU: slow, but better than nothing
        if not hindrance(backend, kept, device):
            return Choice(
                backend, f"{_reluctance(backend, kept, device)}, and nothing else can run it here"
            )
    raise ImpossibleBackendError(
        f"nothing here can run the format {kept}: {_why_not(able, kept, device)}"
    )


def hindrance(backend: str, kept: str, device: Device) -> str:
    """Return why a backend cannot run here, "" when it can."""
    if backend == COREML and device.system != "darwin":
        return f"Core ML packages run on macOS only, this is {device.system}"
    missing = [one for one in LIBRARIES[backend] if one not in device.libraries]
    if backend == ONNX and kept == formats.LAYERS and "onnx" not in device.libraries:
        missing.append("onnx")
    if missing:
        return f"{' and '.join(missing)} cannot be imported"
    if backend == MPS and not device.mps:
        return "there is no Metal (MPS) here"
    if backend == CUDA and not device.cuda:
        return "there is no CUDA device here"
    return ""


def one_at_a_time(backend: str) -> bool:
    """Return whether the model stands one call at a time only."""
    return backend in (MLX, TEXT, COREML)


def _reluctance(backend: str, kept: str, device: Device) -> str:
    if backend == MLX and kept == formats.LAYERS and not device.metal:
        return "MLX without Metal is slower than the others"
    return ""


def _because(backend: str, device: Device) -> str:
    if backend == ONNX:
        return f"ONNX Runtime computes it here with {device.providers[0]}, on a CPU faster than PyTorch"
    if backend == MLX and not device.metal:
        return "an MLX module; there is no Metal here, so MLX computes on the CPU"
    return _WHY[backend]


def _meant(wanted: str) -> tuple[str, ...]:
    return _ALSO.get(wanted, (wanted,))


def _wanted(kept: str, able: tuple[str, ...], wanted: str, device: Device, why: str) -> Choice:
    meant = [one for one in _meant(wanted) if one in able]
    for backend in meant:
        if not hindrance(backend, kept, device):
            return Choice(backend, why.format(wanted))
    said = why.format(wanted)
    if meant:
        hindered = "; ".join(f"{one}: {hindrance(one, kept, device)}" for one in meant)
        raise ImpossibleBackendError(
            f"{said}, which cannot run here ({hindered}); {_possible(able, kept, device)}"
        )
    raise ImpossibleBackendError(
        f"{said}, which cannot run the format {kept}; {_possible(able, kept, device)}"
    )


def _possible(able: tuple[str, ...], kept: str, device: Device) -> str:
    can = [one for one in able if not hindrance(one, kept, device)]
    cannot = _why_not(tuple(one for one in able if one not in can), kept, device)
    found = f'set backend = "auto" in [serve], or one of: {", ".join(can) or "none"}'
    return f"{found} (not: {cannot})" if cannot else found


def _why_not(backends: tuple[str, ...], kept: str, device: Device) -> str:
    return "; ".join(f"{one}: {hindrance(one, kept, device)}" for one in backends)
