# SPDX-License-Identifier: Apache-2.0
"""site: all paths behind one door, as the ASGI application of the service."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mlops.chassis.errors import ChassisError
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import (
    on_bad_parameter,
    on_caller_error,
    on_chassis_error,
    on_http_error,
)
from mlops.gateway.http.door import Door
from mlops.gateway.http.inference import Inference
from mlops.gateway.http.intake import Intake
from mlops.gateway.http.page import Page
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.stream import Streams
from mlops.gateway.model.access import Keys


def site(
    keys: Keys,
    inference: Inference,
    intake: Intake,
    queries: Queries,
    streams: Streams,
    page: Page,
) -> ASGIApp:
    """Return the application. Its document is at /openapi.json; no page for it, as those load from elsewhere."""
    app = FastAPI(title="MLOps platform", version="0.1.0", docs_url=None, redoc_url=None)
    app.router.routes.extend(inference.http_routes())
    app.router.routes.extend(page.http_routes())
    app.include_router(streams.router())
    app.include_router(intake.router())
    app.include_router(queries.router())
    app.add_exception_handler(CallerError, on_caller_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_bad_parameter)
    app.add_exception_handler(ChassisError, on_chassis_error)
    app.add_exception_handler(TimeoutError, on_chassis_error)
    return Door(app, keys)
