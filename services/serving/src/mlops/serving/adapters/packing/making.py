# SPDX-License-Identifier: Apache-2.0
"""Makes the Bento of a version: fetched from MLflow, described, built beside the store, moved in. Runs in the sidecar."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import bentoml._internal.configuration as bentoml_configuration
from bentoml._internal.bento import BentoStore
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from mlops.chassis.errors import UnavailableError
from mlops.serving.adapters.bento.packed_files import digests
from mlops.serving.adapters.packing.contents import MODEL, SEAL, SPEC, seal_of, spec_of
from mlops.serving.adapters.packing.describing import (
    Described,
    check_types,
    describe,
    suspects,
)
from mlops.serving.adapters.packing.device import device_for
from mlops.serving.adapters.packing.registry import Version, fetch, read_version
from mlops.serving.adapters.packing.requirements import packages_for
from mlops.serving.adapters.packing.store import Store
from mlops.serving.errors import BrokenModelError
from mlops.serving.model import formats
from mlops.serving.model.apps import bento_name, bento_tag
from mlops.serving.model.backends import (
    Choice,
    Device,
    ImpossibleBackendError,
    Wish,
    choose,
    one_at_a_time,
)
from mlops.serving.model.signature import UnservableError

_SOURCE = Path(__file__).parents[1] / "bento"
_PACKAGE = "packed"
_PICKLES = "pickles"
# Part of the tag: a Bento of an older making is not taken for one of this.
_MAKING = "2"
# BentoML looks for uv (and wants to install it) even when it has nothing to lock, as here: it is never run.
bentoml_configuration.get_uv_command = lambda: ["uv"]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """Which version is to be packed, and how."""

    project: str
    model: str
    version: int
    wish: Wish
    allow_pickle: bool


def pack(order: Order, mlflow_url: str, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Return the package of a version, made now or before; see `Packages`."""
    found = read_version(order.project, order.model, order.version, mlflow_url)
    wished = f"{order.wish.project} {order.wish.everywhere}"
    source = f"{found.source} {found.run_id} {wished} {_MAKING}"
    tag = bento_tag(order.project, order.model, order.version, source)
    store = Store.here()
    try:
        labels = _known(store, tag, order) or _made(found, tag, order, store, tell)
    except (UnservableError, ImpossibleBackendError) as error:
        raise BrokenModelError(f"version {found.version} of {found.model!r}: {error}") from error
    except OSError as error:
        raise _disk(error) from error
    spec = spec_of(store.bento(tag))
    return {
        "version": order.version,
        "bento_tag": tag,
        "backend": labels["backend"],
        "backend_reason": labels["backend_reason"],
        "run_id": found.run_id,
        "metrics": found.metrics,
        "format": labels["format"],
        "task": spec["task"],
        "size_bytes": int(spec["size_bytes"]),
    }


def keep_only(project: str, model: str, bento_tags: Sequence[str]) -> None:
    """Delete every other Bento of a model, and the copies of the model that they hold."""
    Store.here().keep_only(bento_name(project, model), bento_tags)


def _known(store: Store, tag: str, order: Order) -> dict[str, str] | None:
    labels = store.whole(tag)
    if labels is not None and labels.get(_PICKLES) and not order.allow_pickle:
        raise UnservableError(
            f"it was packed while the project allowed pickles, and holds {labels[_PICKLES]}; "
            "log it without pickles, or set allow_pickle = true in [serve]"
        )
    return labels


def _made(found: Version, tag: str, order: Order, store: Store, tell: Tell) -> dict[str, str]:
    with store.making() as scratch:
        tell(f"fetching version {found.version} of {found.model} from the registry")
        folder = scratch / MODEL
        fetch(found, folder)
        tell("reading its files")
        described = describe(folder)
        _check(described, folder, allow_pickle=order.allow_pickle)
        device = device_for(described.kept.format)
        choice = choose(described.kept.format, device, order.wish, general=described.general)
        tell(f"packing it for {choice.backend}: {choice.reason}")
        labels = _labels(found, described, choice, device)
        spec = _spec(tag, described, choice, folder)
        needs = packages_for(described.kept.format, choice.backend, folder, described.loader)
        built = _build(scratch, tag, spec, labels, needs)
        store.enter(tag, *built)
    kept = store.whole(tag)
    if kept is None:
        raise UnavailableError(
            f"{tag} was damaged or removed as soon as it was packed; it is packed again"
        )
    return kept


def _check(described: Described, folder: Path, *, allow_pickle: bool) -> None:
    if not allow_pickle:
        if described.kept.pickles:
            raise UnservableError(formats.refusal(described.kept))
        if suspects(described):
            raise UnservableError(
                f"its skops file wants {', '.join(suspects(described)[:3])} trusted, which can run anything; make the "
                "model without it, or set allow_pickle = true in [serve] if you trust who writes the project's models"
            )
    check_types(described, folder)


def _labels(found: Version, described: Described, choice: Choice, device: Device) -> dict[str, str]:
    pickles = (*described.kept.pickles, *suspects(described))
    return {
        "project": found.project,
        "model": found.model,
        "version": str(found.version),
        "run_id": found.run_id,
        "format": described.kept.name,
        "backend": choice.backend,
        "backend_reason": choice.reason,
        "platform": device.platform,
        **({_PICKLES: ", ".join(pickles)} if pickles else {}),
        **{f"dataset.{name}": value for name, value in found.datasets.items()},
    }


def _spec(tag: str, described: Described, choice: Choice, folder: Path) -> dict[str, Any]:
    return {
        "name": tag.partition(":")[0],
        "model_tag": tag,
        "backend": choice.backend,
        "backend_reason": choice.reason,
        "format": described.kept.format,
        "task": "text" if described.kept.format == formats.TEXT else "predict",
        "concurrency": 1 if one_at_a_time(choice.backend) else None,
        "inputs": described.inputs,
        "outputs": described.outputs,
        "example": described.example,
        "pickles": bool(described.kept.pickles),
        "size_bytes": described.size_bytes,
        "files": digests(folder),
        **described.loader,
    }


def _build(
    scratch: Path, tag: str, spec: dict[str, Any], labels: Mapping[str, str], needs: list[str]
) -> tuple[Path, Path]:
    """Return the Bento and its model, made in a store of their own."""
    source = scratch / "source"
    package = source / _PACKAGE
    package.mkdir(parents=True)
    for file in _SOURCE.glob("*.py"):
        shutil.copy(file, package)
    (package / SPEC).write_text(json.dumps(spec))
    sealed = {**labels, SEAL: seal_of(package)}
    name, _, version = tag.partition(":")
    made = Store(scratch / "store")
    with _bentoml_in(made.root):
        with bentoml.models.create(tag, labels=sealed):
            pass  # its files are moved in below: they may be large
        try:
            bentoml.bentos.build(
                f"{_PACKAGE}.packed_service:Packed",
                name=name,
                version=version,
                labels=sealed,
                include=[f"{_PACKAGE}/*.py", f"{_PACKAGE}/{SPEC}"],
                models=[tag],
                python={"packages": needs, "lock_packages": False},
                docker={"python_version": f"{sys.version_info.major}.{sys.version_info.minor}"},
                build_ctx=str(source),
            )
        finally:
            # The next Bento has modules of the same names and another packed.json.
            for module in [one for one in sys.modules if one.split(".")[0] == _PACKAGE]:
                del sys.modules[module]
    (scratch / MODEL).rename(made.model(tag) / MODEL)
    return made.bento(tag), made.model(tag)


@contextmanager
def _bentoml_in(root: Path) -> Iterator[None]:
    """Let BentoML work in another store."""
    for kind in ("bentos", "models", "tmp"):
        (root / kind).mkdir(parents=True)
    container = BentoMLContainer
    container.bento_store.set(BentoStore(root / "bentos"))
    container.model_store.set(ModelStore(root / "models"))
    container.tmp_bento_store_dir.set(str(root / "tmp"))
    try:
        yield
    finally:
        for part in (container.bento_store, container.model_store, container.tmp_bento_store_dir):
            part.reset()


def _disk(error: OSError) -> UnavailableError:
    # A copied folder tells of each file in words only.
    if error.errno == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
        free = shutil.disk_usage(Store.here().root).free
        return UnavailableError(
            f"the disk of the packages is full ({free / 2**20:.0f} MiB left); free some room, it is tried again"
        )
    return UnavailableError(f"the store of packages cannot be used: {error}")
