# SPDX-License-Identifier: Apache-2.0
"""What a replica may take and who may reach it: bounded memory, no door to other machines."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import ray
from ray.serve._private import replica as ray_replica

_GIB = 2**30


def limit_memory(gib: float) -> None:
    """Let this process take *gib* more memory than it has now; Linux only."""
    # Ray's own `memory` only reserves; this makes a model that takes too much fail alone, with a MemoryError.
    if sys.platform != "linux":
        return
    lines = Path("/proc/self/status").read_text().splitlines()
    used_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (int(used_kib * 1024 + gib * _GIB), hard))


def stay_on_loopback() -> bool:
    """Bind the replica's internal server to the loopback address where the whole head is there; return whether it is."""
    # Ray binds the replica's internal gRPC server, which unpickles what it gets, to every interface of the machine
    # and has no setting for it. A head on the loopback address is a one-machine installation: bind there.
    if ray.util.get_node_ip_address() != "127.0.0.1":
        return False
    bind = ray_replica.add_port_to_grpc_server
    ray_replica.add_port_to_grpc_server = lambda server, address: bind(
        server, address.replace("[::]", "127.0.0.1")
    )
    return True
