# SPDX-License-Identifier: Apache-2.0
"""What every written folder shares: the words that MLflow takes, requirements, signatures, and what an MLmodel says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mlflow import pyfunc
from mlflow.models import Model, infer_signature

from mlops.client.adapters.order import Order, listed, refusal, warn

LOADER = "mlops_portable_model"
_LOADER_FILE = Path(__file__).parent / "portable" / f"{LOADER}.py"


def flavors(folder: Path) -> tuple[str, ...]:
    """Return the flavours of a model folder, the framework's own first."""
    found = sorted(Model.load(str(folder)).flavors)
    return tuple(sorted(found, key=lambda one: one == pyfunc.FLAVOR_NAME))


def shared(order: Order, *needed: str) -> dict[str, Any]:
    """Return the words that each `save_model` of MLflow takes; *needed* are distributions to name with versions."""
    words: dict[str, Any] = {
        "path": str(order.folder),
        "signature": order.signature,
        "input_example": order.input_example,
        "metadata": dict(order.metadata),
    }
    options = order.options
    code = options.get("code_paths")
    if code:
        words["code_paths"] = [str(path) for path in code]
    if needed or options.get("pip_requirements") is not None:
        # Without a list MLflow loads the model in another process to see what it imports: seconds to minutes.
        words["pip_requirements"] = _requirements(options, needed)
    elif options.get("extra_pip_requirements"):
        words["extra_pip_requirements"] = list(options["extra_pip_requirements"])
    return words


def own(order: Order, names: Iterable[str]) -> dict[str, Any]:
    """Return the options of these names that the user gave."""
    return {name: order.options[name] for name in names if name in order.options}


def portable(
    order: Order, flavor: str, described: Mapping[str, Any], code: Sequence[str], *needed: str
) -> None:
    """Write a folder with a flavour of our own; the code that loads it goes into the folder."""
    described_model = Model()
    described_model.add_flavor(flavor, **described)
    words = shared(order, *needed)
    words["code_paths"] = [str(_LOADER_FILE), *words.get("code_paths", []), *code]
    pyfunc.save_model(**words, loader_module=LOADER, mlflow_model=described_model)


def measured(folder: Path, *, runs: bool = True) -> None:
    """Write the size into the MLmodel file; a model that cannot be rebuilt loses its `python_function`."""
    model = Model.load(str(folder))
    if not runs:
        del model.flavors[pyfunc.FLAVOR_NAME]
    files = (file for file in folder.rglob("*") if file.is_file())
    model.model_size_bytes = sum(file.stat().st_size for file in files)
    model.save(str(folder / "MLmodel"))


def signature_of(order: Order, predict: Callable[[Any], Any]) -> Any:
    """Return the signature given, or what running the example shows; None when it cannot be run."""
    if order.signature is not None or order.input_example is None:
        return order.signature
    try:
        return infer_signature(order.input_example, predict(order.input_example))
    except Exception as error:  # noqa: BLE001 - the model's own code runs here
        warn(f"no signature: the model does not run on its input example: {error!r}")
        return None


def pins(distributions: Iterable[str]) -> list[str]:
    """Return `name==version` of those that are installed here."""
    found = []
    for name in dict.fromkeys(distributions):
        try:
            found.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def distributions_of(modules: Iterable[str]) -> tuple[str, ...]:
    """Return which installed distributions these modules come from."""
    known = metadata.packages_distributions()
    roots = dict.fromkeys(module.partition(".")[0] for module in modules)
    return tuple(known[root][0] for root in roots if root in known)


def code_of(module: str, given: object) -> list[str]:
    """Return the file of a class that no package brings, so that it travels too; else say what to give."""
    root = module.partition(".")[0]
    if given or root in metadata.packages_distributions() or root in sys.builtin_module_names:
        return []
    file = getattr(sys.modules.get(root), "__file__", None)
    if file and root == module and Path(file).name == f"{root}.py":
        return [file]
    warn(f"the code of {module} does not travel with the model: give code_paths=[…]")
    return []


def compare(built: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuse an architecture that builds other parameters than the model has; both map names to shapes."""
    missing = sorted(saved.keys() - built.keys())
    extra = sorted(built.keys() - saved.keys())
    other = sorted(name for name in saved.keys() & built.keys() if built[name] != saved[name])
    told = [
        f"{word} {listed(names)}"
        for word, names in (("it lacks", missing), ("it has also", extra), ("other shapes:", other))
        if names
    ]
    if told:
        hint = (
            "give the module, class and arguments that the model was made with; with LoRA, fuse the adapters first, "
            "or give the folder that mlx-lm wrote"
        )
        raise refusal(f"the architecture does not fit the model: {'; '.join(told)}", hint)


def _requirements(options: Mapping[str, Any], needed: Sequence[str]) -> list[str]:
    given = options.get("pip_requirements")
    if isinstance(given, str | Path):
        return [f"-r {given}"]
    wanted = list(given) if given is not None else pins(needed)
    return [*wanted, *options.get("extra_pip_requirements", ())]
