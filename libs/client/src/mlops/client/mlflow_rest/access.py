# SPDX-License-Identifier: Apache-2.0
"""Access: where MLflow is and what opens it; a secret goes only to the address that it is for."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from mlops.client.endpoints import Endpoints

_BEHIND = "/mlflow"


@dataclass(frozen=True)
class Access:
    """The address of an MLflow, and the headers that open it; secrets are not shown by `repr`."""

    uri: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True


def find(where: Endpoints | None, environ: Mapping[str, str] | None = None) -> Access | None:
    """Return what the environment names, else the installation's own MLflow, else the one behind its gateway."""
    env = os.environ if environ is None else environ
    told = env.get("MLFLOW_TRACKING_URI", "")
    if told.startswith(("http://", "https://")):
        return to(told, where, env)
    if where is None:
        return None
    own = where.addresses.get("mlflow", "")
    own_gateway = where.addresses.get("gateway", "").rstrip("/")
    uri = own if own and own_gateway == where.gateway else where.gateway + _BEHIND
    return to(uri, where, env)


def to(uri: str, where: Endpoints | None, environ: Mapping[str, str] | None = None) -> Access:
    """Return what opens *uri*: the gateway's token behind the gateway, MLFLOW_TRACKING_* for the named address."""
    env = os.environ if environ is None else environ
    bare, own = _split(uri)
    return Access(bare, own or _headers(bare, where, env), _verify(env))


def _headers(uri: str, where: Endpoints | None, env: Mapping[str, str]) -> dict[str, str]:
    named, inside = _split(env.get("MLFLOW_TRACKING_URI", ""))
    if named == uri:
        if token := env.get("MLFLOW_TRACKING_TOKEN"):
            return {"Authorization": f"Bearer {token}"}
        if user := env.get("MLFLOW_TRACKING_USERNAME"):
            return _basic(user, env.get("MLFLOW_TRACKING_PASSWORD", ""))
        if inside:
            return inside
    if where is not None and uri == where.gateway + _BEHIND:
        return {"Authorization": f"Bearer {where.token}"}
    return {}


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """Return the address without name and password, and the header that they make."""
    parts = urlsplit(uri)
    if parts.username is None:
        return uri.rstrip("/"), {}
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit((parts.scheme, host, parts.path, "", "")).rstrip("/")
    return bare, _basic(parts.username, parts.password or "")


def _basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _verify(env: Mapping[str, str]) -> bool | str:
    if env.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        return False
    return env.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
