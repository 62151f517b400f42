# SPDX-License-Identifier: Apache-2.0
"""refuse_missing_driver: DVC speaks to each kind of remote through a package of its own; who lacks it is told which."""

from __future__ import annotations

from importlib.util import find_spec

from dvc_objects.fs import known_implementations

from mlops.chassis.errors import RejectedError


def refuse_missing_driver(remote: str) -> None:
    """Raise RejectedError when nothing here can speak to *remote*, with what to install."""
    kind, separator, _ = remote.partition("://")
    if not separator:
        return  # a folder
    driver = known_implementations.get(kind)
    if driver is None:
        known = ", ".join(sorted(known_implementations))
        raise RejectedError(f"remote {remote!r}: DVC knows no {kind!r}; it knows {known}")
    package = str(driver["class"]).partition(".")[0]
    if find_spec(package) is None:
        raise RejectedError(
            f"remote {remote!r} needs {package.replace('_', '-')}, which is not installed; install it "
            f"into the platform's environment (`pip install 'dvc[{kind}]'`) and register again"
        )
