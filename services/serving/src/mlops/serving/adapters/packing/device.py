# SPDX-License-Identifier: Apache-2.0
"""What this machine can compute with; heavy libraries are only asked where the answer matters."""

from __future__ import annotations

import importlib.util
import platform
import sys

from mlops.serving.model import formats
from mlops.serving.model.backends import LIBRARIES, Device

_KNOWN = sorted({name for names in LIBRARIES.values() for name in names} | {"onnx"})
_TORCH = (formats.LAYERS, formats.TORCH)
_MLX = (formats.LAYERS, formats.MLX, formats.TEXT)
_ONNX = (formats.LAYERS, formats.ONNX)


def device_for(kept: str) -> Device:
    """Return what matters of this machine for a format."""
    libraries = frozenset(name for name in _KNOWN if importlib.util.find_spec(name) is not None)
    mps, cuda = _torch() if "torch" in libraries and kept in _TORCH else (False, False)
    return Device(
        system=sys.platform,
        machine=platform.machine(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        libraries=libraries,
        metal=_metal() if "mlx" in libraries and kept in _MLX else False,
        mps=mps,
        cuda=cuda,
        providers=_providers() if "onnxruntime" in libraries and kept in _ONNX else (),
    )


def _torch() -> tuple[bool, bool]:
    import torch  # noqa: PLC0415 - seconds: only where a model could run on it

    return bool(torch.backends.mps.is_available()), bool(torch.cuda.is_available())


def _metal() -> bool:
    import mlx.core as mx  # noqa: PLC0415 - as above

    return bool(mx.metal.is_available())


def _providers() -> tuple[str, ...]:
    import onnxruntime  # noqa: PLC0415 - as above

    from mlops.serving.adapters.bento.packed_loading import PROVIDERS  # noqa: PLC0415 - as above

    there = onnxruntime.get_available_providers()
    return tuple(one for one in PROVIDERS if one in there)
