# SPDX-License-Identifier: Apache-2.0
"""Tokens: who a caller is and what they may do: the installation's token opens everything, signed ones their projects."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import ClassVar

ACTS = ("infer", "read", "write")
LEEWAY = timedelta(seconds=10)  # clocks of two machines differ by so much

_ALGORITHM = "HS256"
_CLAIMS = frozenset({"sub", "projects", "can", "iat", "exp"})
_LONGEST = 4096
_REMEMBERED = 1024
_LATEST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
_FIX = (
    "make one with `mlops token create`, or use `gateway_token` of $MLOPS_HOME/credentials.json, "
    "or ask who runs the platform"
)


class TokenError(Exception):
    """A token that opens nothing; *what* says why, *fix* what to do."""

    what: ClassVar[str]

    def __init__(self, which: str, fix: str = _FIX) -> None:
        super().__init__(f"{self.what}: {which}; {fix}")
        self.which = which
        self.fix = fix


class WrongTokenError(TokenError):
    """Nobody here made this token, or somebody changed it."""

    what = "the token is wrong"


class ExpiredTokenError(TokenError):
    """The token was right once; `caller` is whom it let in."""

    what = "the token has expired"

    def __init__(self, caller: Caller) -> None:
        super().__init__(f"at {caller.expires_at}", "make a new one with `mlops token create`")
        self.caller = caller


@dataclass(frozen=True)
class Caller:
    """Whom a token lets in; `projects` is None where it opens everything."""

    name: str
    projects: frozenset[str] | None = None
    acts: frozenset[str] = frozenset(ACTS)
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    def may(self, project: str, what: str) -> bool:
        """Return whether the caller may do *what* (infer, read, write) in a project."""
        return self.projects is None or (project in self.projects and what in self.acts)

    def sees(self, project: str) -> bool:
        """Return whether the caller has anything to do with a project."""
        return self.projects is None or project in self.projects


class Tokens:
    """Judges and signs tokens; *secret* is the installation's own token, and every signature is made of it.

    Another secret ends all of them. What was judged right is remembered, at most a thousand tokens.
    """

    def __init__(self, secret: str) -> None:
        if not secret:
            raise ValueError("tokens need a secret")
        self._secret = secret.encode()
        self._key = hmac.new(self._secret, b"mlops project tokens", sha256).digest()
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def judge(self, bearer: str, now: datetime) -> Caller:
        """Return whom a token lets in; raises WrongTokenError, ExpiredTokenError."""
        caller = self._known.get(bearer)
        if caller is None:
            caller = self._judged(bearer)
            self._remember(bearer, caller)
        if caller.expires_at is not None and now >= caller.expires_at + LEEWAY:
            raise ExpiredTokenError(caller)
        if caller.issued_at is not None and now + LEEWAY < caller.issued_at:
            told = f"it is of {caller.issued_at}, and here it is {now}"
            raise WrongTokenError(told, "set the clocks of both machines")
        return caller

    def sign(
        self,
        name: str,
        projects: Iterable[str],
        acts: Iterable[str],
        issued_at: datetime,
        lasts: timedelta,
    ) -> str:
        """Return a token that lets *name* do *acts* in *projects* until its time is over."""
        import jwt  # noqa: PLC0415 - 19 MB, and few processes sign or meet one

        claims = {
            "sub": name,
            "projects": sorted(set(projects)),
            "can": sorted(set(acts)),
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + lasts).timestamp()),
        }
        _caller(claims)
        return jwt.encode(claims, self._key, _ALGORITHM)

    def _judged(self, bearer: str) -> Caller:
        if not bearer.isascii() or len(bearer) > _LONGEST:
            raise WrongTokenError(f"it is not ASCII, or longer than {_LONGEST} characters")
        if hmac.compare_digest(bearer.encode(), self._secret):
            return Caller("installation")
        if bearer.count(".") != 2:  # noqa: PLR2004 - what every signed token has
            raise WrongTokenError("it is neither the installation's nor a signed one")
        return _caller(self._claims(bearer))

    def _claims(self, bearer: str) -> Mapping[str, object]:
        import jwt  # noqa: PLC0415 - 19 MB, and few processes sign or meet one

        try:
            return jwt.decode(
                bearer,
                self._key,
                [_ALGORITHM],
                # Times are judged here, by the clock that is an argument.
                {"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise WrongTokenError(f"its signature does not hold ({error})") from error

    def _remember(self, bearer: str, caller: Caller) -> None:
        self._known[bearer] = caller
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _caller(claims: Mapping[str, object]) -> Caller:
    """Read what a token says; a claim that is not known may narrow it, so it must not be passed over."""
    if claims.keys() != _CLAIMS:
        odd = ", ".join(sorted(claims.keys() ^ _CLAIMS))
        raise WrongTokenError(f"its claims are not {', '.join(sorted(_CLAIMS))}: {odd}")
    name, projects, acts = claims["sub"], _words(claims["projects"]), _words(claims["can"])
    if not isinstance(name, str) or not projects or not acts:
        raise WrongTokenError("it names nobody, no project, or nothing to do")
    if not acts <= set(ACTS):
        raise WrongTokenError(f"it may {', '.join(sorted(acts))}; known are {', '.join(ACTS)}")
    return Caller(name, projects, acts, _time(claims["iat"]), _time(claims["exp"]))


def _words(said: object) -> frozenset[str]:
    if not isinstance(said, list) or not all(isinstance(one, str) and one for one in said):
        return frozenset()
    return frozenset(said)


def _time(said: object) -> datetime:
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= _LATEST:
        raise WrongTokenError(f"{said!r} is no time")
    return datetime.fromtimestamp(said, UTC)
