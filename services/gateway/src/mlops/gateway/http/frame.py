# SPDX-License-Identifier: Apache-2.0
"""frame: what all pages of the gateway share: head, navigation, tables, badges. Values from outside are escaped by their callers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_GOOD = ("active", "completed", "champion", "ready", "resolved")
_BAD = ("failed", "reverted", "rejected", "raised", "critical", "refused", "away")
_BUSY = ("started", "queued", "warning", "degraded")


def framed(content: str) -> str:
    """Return a whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MLOps platform</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="stylesheet" href="/static/page.css">'
        '<link rel="icon" href="data:,"><script src="/static/page.js" defer></script></head><body>'
        '<header><h1><a href="/">MLOps platform</a></h1><nav><a href="/reports">Reports</a> '
        '<a href="/mlflow/">Runs and models (MLflow)</a></nav>'
        f"</header><main>{content}</main></body></html>"
    )


def locked(why: str, path: str = "") -> str:
    """Return the page for a visitor without a key.

    A browser that is known keeps its key to itself where another site (a chat, a mail) led to *path*; not from here.
    """
    again = f'<p><a href="{escape(path)}">Open it again</a> where this browser is known.</p>'
    return framed(
        f"<section><h2>{escape(why)}</h2>{again if path else ''}<p>Open <code>/?token=&lt;token&gt;</code> once; "
        "this browser then stays known. The token is <code>gateway_token</code> in "
        "<code>$MLOPS_HOME/credentials.json</code>; <code>mlops status</code> prints the whole "
        "address. A token of <code>mlops token create --can read</code> opens what is of its projects.</p></section>"
    )


def explained(title: str, text: str) -> str:
    """Return a page that says why there is nothing to see."""
    return framed(f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p></section>")


def fresh(name: str, *parts: str) -> str:
    """Return a piece of the page that its script fetches anew; all else stays as a visitor left it."""
    return f'<div id="{name}" data-fresh>{"".join(parts)}</div>'


def badge(word: str) -> str:
    """Return a word in the colour of its meaning."""
    kind = "good" if word in _GOOD else "bad" if word in _BAD else "busy" if word in _BUSY else ""
    return f'<span class="badge {kind}">{escape(word)}</span>'


def moment(text: str) -> str:
    """Return a time of UTC with its day."""
    return f'<time datetime="{escape(text)}">{escape(text[:16].replace("T", " "))} UTC</time>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells, which are HTML."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return '<p class="none">none yet</p>'
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
