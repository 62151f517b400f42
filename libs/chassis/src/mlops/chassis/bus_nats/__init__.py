# SPDX-License-Identifier: Apache-2.0
"""The bus on NATS JetStream; `NatsBus` is its only public name."""

from mlops.chassis.lean import without

with without("aiohttp"):
    from mlops.chassis.bus_nats.bus import NatsBus

__all__ = ["NatsBus"]
