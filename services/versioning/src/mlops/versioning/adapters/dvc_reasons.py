# SPDX-License-Identifier: Apache-2.0
"""explained: what failed between project, cache and remote is said with its place, its cause and the fix.

DVC tells why a copy failed only to its log, and the storage libraries' errors name no place.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator

from mlops.chassis.errors import RejectedError, UnavailableError

_CREDENTIALS = (
    "give versioning right ones (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the "
    "platform is started) and start it again"
)
_NETWORK = "check the network and the address (for S3: AWS_ENDPOINT_URL_S3); what has arrived is not sent again"
_CERTIFICATE = (
    "where the server has a certificate of an own authority, name that one's file (for S3: AWS_CA_BUNDLE where the "
    "platform is started) and start it again"
)
_REGION = "set AWS_REGION to the bucket's region where the platform is started, and start it again"
_FIXES = {
    "signature": _CREDENTIALS,
    "access key": _CREDENTIALS,
    "credentials": _CREDENTIALS,
    "forbidden": _CREDENTIALS,
    "access denied": _CREDENTIALS,
    "bucket does not exist": "create the bucket, or correct the remote ([data] remote, or VERSIONING_REMOTE)",
    "nosuchbucket": "create the bucket, or correct the remote ([data] remote, or VERSIONING_REMOTE)",
    "could not connect": _NETWORK,
    "connection was closed": _NETWORK,
    "timeout on endpoint": _NETWORK,
    "certificate verify failed": _CERTIFICATE,
    "permanentredirect": _REGION,
    "authorizationheadermalformed": _REGION,
    "permission denied": "make the folder writable for the platform's user",
}


@contextlib.contextmanager
def explained(remote: str, cache: str) -> Iterator[None]:
    """Turn whatever the block meets into UnavailableError with place, cause and fix; a rejection stays one."""
    with _listening() as heard:
        try:
            yield
        except RejectedError:
            raise
        except Exception as error:
            if isinstance(error, UnavailableError) and not heard:
                raise
            cause = heard[0] if heard else error
            raise UnavailableError(explain(remote, cache, cause)) from error


def explain(remote: str, cache: str, cause: BaseException) -> str:
    """Return one sentence: where, why, and the fix where one is known."""
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        # Of a copy's two names the second is where it went.
        where = cause.filename2 or cause.filename or f"cache {cache} or remote {remote}"
        return f"no space left ({where}); free space there, nothing was lost"
    why = (str(cause) or type(cause).__name__).rstrip(".")
    fix = next((fix for word, fix in _FIXES.items() if word in why.lower()), "see the error")
    return f"remote {remote} (cache {cache}): {why}; {fix}"


@contextlib.contextmanager
def _listening() -> Iterator[list[BaseException]]:
    heard: list[BaseException] = []
    ear = _Ear(heard)
    logger = logging.getLogger("dvc_data.hashfile.transfer")
    logger.addHandler(ear)
    try:
        yield heard
    finally:
        logger.removeHandler(ear)


class _Ear(logging.Handler):
    """Keeps the exceptions that are logged."""

    def __init__(self, heard: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exception of a record, if it has one."""
        if record.exc_info and record.exc_info[1] is not None:
            self._heard.append(record.exc_info[1])
