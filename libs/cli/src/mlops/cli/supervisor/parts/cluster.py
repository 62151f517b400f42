# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster that runs already: `RAY_ADDRESS` names its head, and then no head is started here."""

from __future__ import annotations

from collections.abc import Mapping

from mlops.cli.errors import InputError


class ClusterError(InputError, ValueError):
    """`RAY_ADDRESS` names nothing that serving could use."""


def cluster_of(caller: Mapping[str, str]) -> str:
    """Return host:port of the cluster's head, empty where none is named."""
    told = caller.get("RAY_ADDRESS", "").strip()
    host, _, port = told.rpartition(":")
    if told and (not host or not port.isdecimal() or "/" in host):
        raise ClusterError(
            f"RAY_ADDRESS={told} is not the host:port of a Ray head (`ray start --head` prints it; not ray://…, "
            "not auto); correct it, or unset it to run a head here"
        )
    return told


def serve_of(caller: Mapping[str, str], cluster: str, port: int) -> str:
    """Return where Ray Serve answers on a cluster: as `SERVING_URL` says, else on its head; empty for our own."""
    if not cluster:
        return ""
    return caller.get("SERVING_URL") or f"http://{cluster.rpartition(':')[0]}:{port}"
