# SPDX-License-Identifier: Apache-2.0
"""Callers: who asks, by the token they show, and what they may ask of which project."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from starlette.requests import Request
from starlette.types import Scope

from mlops.chassis.clock import Clock
from mlops.chassis.tokens import Caller, ExpiredTokenError, TokenError, Tokens
from mlops.gateway.errors import CallerError
from mlops.gateway.model.access import Entry, Keys, said_in

_FIX = (
    "send `Authorization: Bearer <token>`; the token is `gateway_token` in "
    "$MLOPS_HOME/credentials.json, or one of `mlops token create`, or ask who runs the platform"
)
_REALM = 'Bearer realm="mlops"'
_VISITOR = Caller("a browser with the page's cookie", acts=frozenset({"read"}))
_KEY = "mlops.caller"
_KEPT = timedelta(days=30)
_IN_BROWSERS = frozenset({"read", "write"})  # of writing only what `is_of_page` says


class Callers:
    """Judges tokens; the page's cookie counts where there is none."""

    def __init__(self, tokens: Tokens, keys: Keys, clock: Clock) -> None:
        self._tokens = tokens
        self._visitors = Tokens(keys.visitors)
        self._keys = keys
        self._clock = clock

    def bearer(self, header: str, path: str) -> Caller:
        """Return whom an `Authorization` header lets in; CallerError 401 for nobody."""
        scheme, shown = said_in(header)
        if not shown:
            raise no_token(path)
        if scheme != "bearer":
            raise _wrong("the token is wrong", f"{scheme[:20]} is not Bearer", _FIX)
        return self._judged(self._tokens, shown)

    def visitor(self, header: str, token: str, cookie: str, path: str) -> Caller:
        """Return who looks at pages, by the first of these that is there; CallerError 401 for nobody, 403 without reading."""
        if header:
            caller = self.bearer(header, path)
        elif token:
            caller = self._judged(self._tokens, token)
        else:
            caller = self.cookie(cookie, path)
        if "read" in caller.acts:
            return caller
        raise CallerError(
            403,
            "the token may not read",
            f"it may {_list(caller.acts)} in {_list(caller.projects)}",
            "make one with `mlops token create --can read`",
        )

    def kept(self, caller: Caller) -> tuple[str, int]:
        """Return the cookie by which a browser stays known as *caller*, and for how many seconds it does."""
        if caller.projects is None:
            return self._keys.cookie, int(_KEPT.total_seconds())
        now = self._clock()
        lasts = min(_KEPT, (caller.expires_at or now + _KEPT) - now)
        acts = caller.acts & _IN_BROWSERS
        cookie = self._visitors.sign(caller.name, caller.projects, acts, now, lasts)
        return cookie, max(1, int(lasts.total_seconds()))

    def cookie(self, cookie: str, path: str) -> Caller:
        """Return whom the cookie of the page lets in; CallerError 401 for nobody."""
        entry = self._keys.visitor(cookie)
        if entry is Entry.OPEN:
            return _VISITOR
        if entry is Entry.NOTHING:
            raise no_token(path)
        return self._judged(self._visitors, cookie)

    def opens_everything(self, cookie: str) -> bool:
        """Return whether a cookie of the page is the installation's."""
        return self._keys.visitor(cookie) is Entry.OPEN

    def of_a_project(self, header: str, cookie: str) -> Caller | ExpiredTokenError | None:
        """Return whom a header, or else a cookie, lets into projects, or that it did once; None where it never did."""
        try:
            if not header:
                return self._visitors.judge(cookie, self._clock())
            return self._tokens.judge(said_in(header)[1], self._clock())
        except ExpiredTokenError as error:
            return error
        except TokenError:
            return None

    def _judged(self, tokens: Tokens, shown: str) -> Caller:
        try:
            return tokens.judge(shown, self._clock())
        except TokenError as error:
            raise _wrong(error.what, error.which, error.fix) from error


def let_in(scope: Scope, caller: Caller) -> None:
    """Note who asks."""
    scope[_KEY] = caller


def caller_of(scope: Scope) -> Caller:
    """Return who asks."""
    found: Caller = scope[_KEY]
    return found


def allow(scope: Scope, project: str, *acts: str) -> None:
    """Return when who asks may do one of *acts* in a project; CallerError 403 otherwise."""
    caller = caller_of(scope)
    if any(caller.may(project, act) for act in acts):
        return
    if not caller.sees(project):
        raise CallerError(
            403,
            "the token does not open this project",
            f"{project or 'no project'}; it opens {_list(caller.projects)}",
            "name a project of the token, or make one with `mlops token create`",
        )
    raise CallerError(
        403,
        f"the token may not {' or '.join(acts)} in this project",
        f"{project}; it may {_list(caller.acts)}",
        f"make one with `mlops token create --project {project} --can {acts[0]}`",
    )


def of_projects_only(projects: Iterable[str] | None, path: str) -> CallerError:
    """Return the error for a token of projects where only the installation's opens."""
    return CallerError(
        403,
        "the token opens projects only",
        f"{path} is of the whole platform; the token opens {_list(projects)}",
        "use `gateway_token` of $MLOPS_HOME/credentials.json, or ask who runs the platform",
    )


def readable(request: Request, project: str) -> tuple[str, ...] | None:
    """Return the projects that may be read (of *project* only it), or None for all; CallerError 403 for another's."""
    caller = caller_of(request.scope)
    if project:
        allow(request.scope, project, "read")
        return (project,)
    if caller.projects is None:
        return None
    for one in sorted(caller.projects):
        allow(request.scope, one, "read")
    return tuple(sorted(caller.projects))


def no_token(path: str) -> CallerError:
    """Return the error for a caller who shows nothing."""
    return CallerError(401, "no token", path, _FIX, headers={"WWW-Authenticate": _REALM})


def _wrong(what: str, which: str, fix: str) -> CallerError:
    headers = {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'}
    return CallerError(401, what, which, fix, headers=headers)


def _list(words: Iterable[str] | None) -> str:
    return ", ".join(sorted(words or ())) or "nothing"
