# SPDX-License-Identifier: Apache-2.0
"""Which writer makes the manifest that was asked for."""

from __future__ import annotations

from mlops.cli.emit.compose import compose
from mlops.cli.emit.deployed import Deployed
from mlops.cli.emit.kserve import kserve
from mlops.cli.emit.kuberay import installed_ray, kuberay
from mlops.cli.emit.manifest import Manifest
from mlops.cli.emit.wanted import Target, Wanted
from mlops.cli.errors import InputError


def written(deployed: Deployed, wanted: Wanted) -> Manifest:
    """Return the manifest of one version, as it is wanted."""
    if wanted.target is Target.KSERVE:
        return kserve(
            deployed, image=wanted.image, storage_uri=wanted.storage_uri, name=wanted.name
        )
    if wanted.storage_uri:
        raise InputError(
            f"--storage-uri is KServe's; {wanted.target} runs an image", "give --image"
        )
    if wanted.target is Target.KUBERAY:
        ray = installed_ray()
        return kuberay(deployed, ray_version=ray, image=wanted.image, name=wanted.name)
    return compose(deployed, image=wanted.image, name=wanted.name)
