# SPDX-License-Identifier: Apache-2.0
"""site: all paths behind one door, as the ASGI application of the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from mlops.chassis.errors import ChassisError
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import (
    on_bad_parameter,
    on_caller_error,
    on_chassis_error,
    on_http_error,
)
from mlops.gateway.http.callers import Callers
from mlops.gateway.http.door import Door
from mlops.gateway.model.access import Keys


class PlainPaths(Protocol):
    """A part that answers paths which the document does not describe."""

    def http_routes(self) -> Sequence[BaseRoute]:
        """Return its paths."""


class Described(Protocol):
    """A part whose paths the document describes."""

    def router(self) -> APIRouter:
        """Return its paths."""


def site(
    keys: Keys,
    callers: Callers,
    inference: ASGIApp,
    plain: Sequence[PlainPaths],
    described: Sequence[Described],
) -> ASGIApp:
    """Return the application. Its document is at /openapi.json; no page for it, as those load from elsewhere."""
    app = FastAPI(title="MLOps platform", version="0.1.0", docs_url=None, redoc_url=None)
    for part in plain:
        app.router.routes.extend(part.http_routes())
    for one in described:
        app.include_router(one.router())
    app.add_exception_handler(CallerError, on_caller_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_bad_parameter)
    app.add_exception_handler(ChassisError, on_chassis_error)
    app.add_exception_handler(TimeoutError, on_chassis_error)
    return Door(app, inference, keys, callers)
