# SPDX-License-Identifier: Apache-2.0
"""The wrapper around HAProxy: both open listeners move to loopback, the admin socket becomes private."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

WRAPPER = Path(__file__).parents[3] / "deploy" / "ray" / "haproxy-loopback.sh"
WRITTEN_BY_RAY = """global
    stats socket /tmp/a b/admin.sock mode 666 level admin expose-fd listeners
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8300
listen stats
  bind *:8404
  stats enable
"""
CLOSED = """global
    stats socket /tmp/a b/admin.sock mode 600 level admin expose-fd listeners
frontend prometheus
    bind 127.0.0.1:9101
frontend http_frontend
    bind 127.0.0.1:8300
listen stats
  bind 127.0.0.1:8404
  stats enable
"""


def test_the_wrapper_closes_what_ray_leaves_open_and_becomes_haproxy(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(WRITTEN_BY_RAY)
    real = tmp_path / "haproxy"
    real.write_text('#!/bin/sh\necho "$$ $*"\n')
    real.chmod(0o755)

    with subprocess.Popen(
        [WRAPPER, "-db", "-f", str(config), "-sf", "7"],
        env=os.environ | {"MLOPS_HAPROXY": str(real)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=10)

    assert config.read_text() == CLOSED
    assert said == f"{process.pid} -db -f {config} -sf 7\n"
