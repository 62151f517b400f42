# SPDX-License-Identifier: Apache-2.0
"""Who may ask this replica: a token is judged before anything of the body is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from mlops.chassis.tokens import TokenError, Tokens
from mlops.serving.adapters.replies import RefusedError

_UNKNOWN, _FORBIDDEN = 401, 403
_BEARER = b"bearer "
_OPEN = "none: the installation has no GATEWAY_TOKEN"
_SHUT = (
    "nobody is let in: other machines can reach this replica, and it has no secret to judge tokens "
    "by; set GATEWAY_TOKEN where its Ray nodes are started"
)
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="mlops"'),)


class Doorkeeper:
    """Lets in whoever may act in *project*.

    Where the installation has no secret everybody is let in if it *is_alone* (only this machine can reach it), else nobody.
    """

    def __init__(
        self,
        secret: str | None,
        project: str,
        *,
        is_alone: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = Tokens(secret) if secret else None
        self._project = project
        self._is_alone = is_alone
        self._now = now

    @property
    def wants(self) -> str:
        """Return what a caller must show."""
        if self._tokens is not None:
            return "needed"
        return _OPEN if self._is_alone else _SHUT

    def check(self, authorization: bytes | None, needs: str) -> None:
        """Raise RefusedError (401, 403) unless the caller may do what *needs* says."""
        if self._tokens is None:
            if self._is_alone:
                return
            raise RefusedError(_UNKNOWN, _SHUT, headers=_CHALLENGE)
        if authorization is None or not authorization[: len(_BEARER)].lower() == _BEARER:
            raise RefusedError(
                _UNKNOWN,
                "a token is needed: send `Authorization: Bearer …`; `mlops token create` makes one",
                headers=_CHALLENGE,
            )
        bearer = authorization[len(_BEARER) :].strip().decode("latin-1")
        try:
            caller = self._tokens.judge(bearer, self._now())
        except TokenError as error:
            raise RefusedError(_UNKNOWN, str(error), headers=_CHALLENGE) from error
        allowed = ("read", "infer") if needs == "read" else (needs,)
        if not any(caller.may(self._project, act) for act in allowed):
            raise RefusedError(
                _FORBIDDEN,
                f"the token of {caller.name!r} may not {needs} in project {self._project!r}; "
                f"make one that may with `mlops token create --project {self._project}`",
            )
