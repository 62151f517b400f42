# SPDX-License-Identifier: Apache-2.0
"""Running: what the running platform says of a project: reachable, the token fits, its workspace is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.validation.check import FAILED, PASSED, SKIPPED, WARNED, Check

SUITE = "project"
REGISTER = "`mlops register`"
_PASSES = {PASSED: "passed", WARNED: "passed", FAILED: "failed", SKIPPED: "skipped"}


def without(error: CliError) -> Check:
    """Return the check for a platform that is not there."""
    return Check("platform", SKIPPED, error.what, error.fix)


def unclear(error: CliError) -> Check:
    """Return the check for a platform that cannot be asked."""
    return Check("platform", FAILED, error.what, error.fix)


def checks(gateway: Gateway, project: str) -> Iterator[Check]:
    """Yield what the platform says; nothing more after the first that fails."""
    try:
        gateway.get("/v2/health/live")
    except CliError as error:
        yield unclear(error)
        return
    yield Check("platform", PASSED, f"the gateway answers at {gateway.address}")
    try:
        known = gateway.get("/api/v1/projects")["projects"]
    except CliError as error:
        yield Check("token", FAILED, error.what, error.fix)
        return
    yield Check("token", PASSED, "it opens the gateway")
    yield from _workspace(next((one for one in known if one["project"] == project), None), project)


def publish(gateway: Gateway, project: str, found: list[Check]) -> None:
    """Tell the platform how each check ended."""
    from mlops.contracts.cli import (  # noqa: PLC0415 - slow to import; help does without
        Outcome,
        ValidationFinished,
    )

    for check in found:
        note = ". ".join(filter(None, (check.found, check.fix)))
        event = ValidationFinished(
            project=project,
            source="/cli",
            suite=SUITE,
            check=check.check[:128],
            outcome=Outcome(_PASSES[check.outcome]),
            note=note[:1000],
        )
        gateway.post("/api/v1/events", event.envelope())


def _workspace(known: Mapping[str, Any] | None, project: str) -> Iterator[Check]:
    if known is None:
        yield Check("workspace", WARNED, f"{project} is not registered", REGISTER)
        return
    if known.get("state") == "archived":
        yield Check(
            "workspace", FAILED, f"{project} is archived", "register it again, or rename it"
        )
        return
    parts = known.get("provisioned") or {}
    refused = {part: one["reason"] for part, one in parts.items() if one.get("reason")}
    if refused:
        told = "; ".join(f"{part}: {reason}" for part, reason in refused.items())
        yield Check("workspace", FAILED, told, "correct what it names, and `mlops register` again")
        return
    names = (parts.get("tracking") or {}).get("names") or {}
    if not names:
        yield Check("workspace", WARNED, "tracking has not made it yet", "`mlops projects` tells")
        return
    made = ", ".join(f"{name} {value}" for name, value in names.items())
    yield Check("workspace", PASSED, made)
