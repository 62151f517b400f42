# SPDX-License-Identifier: Apache-2.0
"""Limits: what can never start, said at submission with the limit and the fix; what nobody knows refuses nothing."""

from __future__ import annotations

from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import GIB, MEMORY_MARGIN, Needs, has
from mlops.orchestration_bridge.model.queue import Policy


def never(policy: Policy, fleet: Fleet) -> str:
    """Return why no workflow of the project can ever start, empty when nothing says so."""
    return _quota(policy) or _memory(policy.needs, fleet) or _accelerator(policy.needs, fleet)


def _quota(policy: Policy) -> str:
    most, need = policy.most_memory_bytes, policy.needs.memory_bytes
    if most is not None and need > most:
        return (
            f"one run needs {need / GIB:g} GiB but the project may hold {most / GIB:g} GiB: raise "
            "[share].memory_gb or lower [train].resources.memory_gb"
        )
    if policy.most_gpu_s == 0 and policy.needs.accelerator in ("mps", "mlx", "cuda"):
        return (
            f"a run needs {policy.needs.accelerator} but [share].gpu_hours_per_day is 0: raise it or "
            'set [train].resources.accelerator = "none"'
        )
    return ""


def _memory(needs: Needs, fleet: Fleet) -> str:
    sizes = {n: node.reading.memory_total for n, node in _known(fleet)}
    totals = {name: size for name, size in sizes.items() if size is not None}
    if not totals or len(totals) < len(_expected(fleet)):
        return ""
    name = max(totals, key=lambda one: (totals[one], one))
    room = totals[name] - fleet.serving_bytes
    if needs.with_margin <= room:
        return ""
    kept = (
        f", {fleet.serving_bytes / GIB:g} GiB of it kept for serving" if fleet.serving_bytes else ""
    )
    return (
        f"a run needs {needs.memory_bytes / GIB:g} GiB and {MEMORY_MARGIN - 1:.0%} to spare, the largest machine "
        f"({name}) has {totals[name] / GIB:.1f} GiB{kept}: lower [train].resources.memory_gb or add a larger machine"
    )


def _accelerator(needs: Needs, fleet: Fleet) -> str:
    there = [node.reading.accelerators for _, node in _known(fleet)]
    told = [one for one in there if one is not None]
    if not told or len(told) < len(_expected(fleet)):
        return ""
    if any(has(one, needs.accelerator) for one in told):
        return ""
    found = sorted({name for one in told for name in one})
    return (
        f"a run needs {needs.accelerator}, no machine has it (there is {', '.join(found) or 'only a processor'}): "
        'add a machine, or set [train].resources.accelerator = "any"'
    )


def _expected(fleet: Fleet) -> tuple[str, ...]:
    return fleet.named or tuple(fleet.nodes)


def _known(fleet: Fleet) -> list[tuple[str, Node]]:
    return [(name, fleet.nodes[name]) for name in _expected(fleet) if name in fleet.nodes]
