# SPDX-License-Identifier: Apache-2.0
"""Questions: request and reply over `nats.micro`, so that services and their queries can be discovered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import nats.errors
import nats.micro
from nats.aio.client import Client
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig
from pydantic_core import from_json, to_json

from mlops.chassis.bus import Answer, Question
from mlops.chassis.errors import RejectedError, UnavailableError

_ERROR = "Nats-Service-Error"
_ERROR_CODE = "Nats-Service-Error-Code"


async def offer(client: Client, answers: dict[tuple[str, str], Answer]) -> list[Service]:
    """Answer `query.<service>.<verb>` for each of *answers*."""
    services = []
    for name in sorted({service for service, _ in answers}):
        service = await nats.micro.add_service(
            client,
            ServiceConfig(name=f"mlops-{name}", version="0.1.0", description=f"queries of {name}"),
        )
        for (owner, verb), answer in answers.items():
            if owner == name:
                await service.add_endpoint(
                    EndpointConfig(
                        name=verb, subject=f"query.{name}.{verb}", handler=_replying(answer)
                    )
                )
        services.append(service)
    return services


def _replying(answer: Answer) -> Any:
    async def reply(request: Request) -> None:
        try:
            question = from_json(request.data or b"{}")
            found = await answer(question)
        except RejectedError as error:
            await request.respond_error("400", str(error))
        except UnavailableError as error:
            await request.respond_error("503", str(error))
        except Exception as error:  # noqa: BLE001 - a query is an edge: its caller gets the reason
            await request.respond_error("500", f"{type(error).__name__}: {error}")
        else:
            await request.respond(to_json(dict(found)))

    return reply


async def ask(
    client: Client, service: str, verb: str, question: Question, timeout: timedelta
) -> dict[str, Any]:
    """Ask another service; see `Bus.ask`."""
    subject = f"query.{service}.{verb}"
    try:
        reply = await client.request(
            subject, to_json(dict(question)), timeout=timeout.total_seconds()
        )
    except nats.errors.NoRespondersError as error:
        raise UnavailableError(f"nobody answers {subject}; is {service} running?") from error
    except (nats.errors.Error, TimeoutError) as error:
        raise UnavailableError(f"{subject}: {error!r}") from error
    headers = reply.headers or {}
    if _ERROR in headers:
        family = RejectedError if headers.get(_ERROR_CODE) == "400" else UnavailableError
        raise family(headers[_ERROR])
    answer: dict[str, Any] = from_json(reply.data)
    return answer
