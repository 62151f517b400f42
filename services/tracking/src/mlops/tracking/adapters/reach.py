# SPDX-License-Identifier: Apache-2.0
"""A store on a server is usable before MLflow sees it, or we say at once why it is not.

MLflow alone would try for a hundred seconds, also with a wrong password.
"""

from __future__ import annotations

from mlops.tracking.errors import StoreError

SECRETS = ("password", "sslpassword")

_FIXES = {
    "authentication failed": "correct user and password in TRACKING_STORE_URI",
    "no password": "give the password in TRACKING_STORE_URI",
    "bytes-like": "its encoding is not UTF8; create it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
    "does not exist": "create it, or correct the name in TRACKING_STORE_URI",
    "permission denied": "make the user its owner",
    "refused": "start the server, or correct host and port in TRACKING_STORE_URI",
    "timeout": "check the network, or correct host and port in TRACKING_STORE_URI",
    "resolve host": "correct the host in TRACKING_STORE_URI",
}


def reach(store_uri: str) -> None:
    """Connect once to a store on a server; nothing for a SQLite store.

    Raises StoreError; a missing driver is left to whoever opens the store.
    """
    import sqlalchemy as sa  # noqa: PLC0415 - half a second that the tests of the parts around it save

    url = sa.make_url(store_uri)
    if url.get_backend_name() == "sqlite":
        return
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect():
            pass
    except ModuleNotFoundError:
        return
    except (sa.exc.SQLAlchemyError, TypeError) as error:
        cause = str(getattr(error, "orig", error))
        raise StoreError(explain(shown(store_uri), cause)) from error


def shown(store_uri: str) -> str:
    """Return a URI as people may read it: without passwords, wherever they stand in it."""
    import sqlalchemy as sa  # noqa: PLC0415 - see reach

    url = sa.make_url(store_uri).difference_update_query(SECRETS)
    return url.render_as_string(hide_password=True)


def explain(place: str, cause: str) -> str:
    """Return what is wrong with a store on a server, and the fix."""
    found = next((fix for word, fix in _FIXES.items() if word in cause.lower()), "see the error")
    return f"store {place}: {' '.join(cause.split())}; {found}"
