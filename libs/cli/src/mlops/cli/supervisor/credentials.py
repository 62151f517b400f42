# SPDX-License-Identifier: Apache-2.0
"""Credentials: made at the first start, kept in a file that only its owner can read."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

from mlops.cli.home import Home, write_json

PRIVATE = 0o600
_LENGTHS = {
    "nats_token": 24,
    "gateway_token": 24,
    "airflow_password": 16,
    "airflow_admin_password": 16,
    "evidently_secret": 24,
    "airflow_jwt_secret": 48,  # in bytes, written in hexadecimal: Airflow wants 64 characters or more
    "airflow_secret_key": 32,
}


class CredentialsError(ValueError):
    """The file of credentials cannot be used."""


def completed(known: Mapping[str, str], random: Callable[[int], str]) -> dict[str, str]:
    """Return the credentials with those that are missing made up."""
    missing = {name: random(size) for name, size in _LENGTHS.items() if not known.get(name)}
    return {**known, **missing}


def ensure(home: Home) -> dict[str, str]:
    """Return the credentials of an installation, written where they were missing."""
    known = _read(home)
    wanted = completed(known, secrets.token_hex)
    if wanted != known:
        write_json(home.credentials, wanted, PRIVATE)
    home.credentials.chmod(PRIVATE)
    return wanted


def _read(home: Home) -> dict[str, str]:
    try:
        text = home.credentials.read_text()
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CredentialsError(
            f"{home.credentials} is not a JSON object; restore it, or remove it and every service gets new secrets"
        )
    return {str(name): str(value) for name, value in found.items()}
