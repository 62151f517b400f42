# SPDX-License-Identifier: Apache-2.0
"""Where the platform is and what opens it: the environment first, then the home folder of an installation.

`MLOPS_GATEWAY_URL` and `MLOPS_TOKEN` name the gateway and its token; otherwise `endpoints.json` and
`credentials.json` in `$MLOPS_HOME` do, or in a `.mlops` folder here or above.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.client.errors import BadInputError, NotRunningError

_HOME = ".mlops"
_HINT = "start it with `mlops up`, or set MLOPS_HOME, or MLOPS_GATEWAY_URL and MLOPS_TOKEN"


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one installation; `token` opens its gateway and is not shown by `repr`."""

    gateway: str
    token: str = field(repr=False)
    addresses: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None

    def address(self, name: str) -> str:
        """Return the address of a part: nats, mlflow, airflow, serve, evidently …; NotRunningError when unknown."""
        found = self.addresses.get(name)
        if not found:
            known = ", ".join(sorted(self.addresses)) or "none"
            raise NotRunningError("endpoints", name, f"no such address; known are: {known}", _HINT)
        return found


def find_home(start: Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the home folder of an installation: `$MLOPS_HOME`, or `.mlops` in *start* or above."""
    told = (os.environ if environ is None else environ).get("MLOPS_HOME")
    if told:
        return Path(told).expanduser()
    here = (start or Path.cwd()).resolve()
    folders = (folder / _HOME for folder in (here, *here.parents))
    return next((folder for folder in folders if (folder / "endpoints.json").is_file()), None)


def load(start: Path | None = None, environ: Mapping[str, str] | None = None) -> Endpoints:
    """Return where the platform is; NotRunningError says which file or variable is missing, BadInputError which is wrong."""
    env = os.environ if environ is None else environ
    home = find_home(start, env)
    addresses = read(home / "endpoints.json") if home else {}
    secrets = read(home / "credentials.json") if home else {}
    own = addresses.get("gateway", "")
    gateway = env.get("MLOPS_GATEWAY_URL") or own
    # The token of an installation opens its own gateway; another address must not get to see it.
    known = secrets.get("gateway_token", "") if gateway.rstrip("/") == own.rstrip("/") else ""
    token = env.get("MLOPS_TOKEN") or known
    if not gateway:
        told = f"no platform runs in {home}" if home else "no installation here or above"
        raise NotRunningError("endpoints", "find the gateway", told, _HINT)
    if not token.strip():
        told = f"there is no token for the gateway at {gateway}"
        raise NotRunningError("endpoints", "find the token", told, _HINT)
    return Endpoints(_address(gateway), _sendable(token.strip()), addresses, home)


def _address(gateway: str) -> str:
    if gateway.startswith(("http://", "https://")):
        return gateway.rstrip("/")
    hint = "correct MLOPS_GATEWAY_URL: it begins with http:// or https://"
    raise BadInputError("endpoints", "find the gateway", f"{gateway!r} is no address", hint)


def _sendable(token: str) -> str:
    # What would be sent is not shown: the error may land in a log.
    if token.isascii() and token.isprintable():
        return token
    told = "the token for the gateway holds letters that cannot be sent"
    raise BadInputError("endpoints", "find the token", told, "set MLOPS_TOKEN again")


def read(path: Path) -> dict[str, str]:
    """Return the text values of a JSON file, nothing when it does not exist; NotRunningError when unreadable."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        hint = "stop the platform, remove the file, and start it again"
        raise NotRunningError("endpoints", f"read {path}", str(error), hint) from error
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(key): value for key, value in pairs if isinstance(value, str)}
