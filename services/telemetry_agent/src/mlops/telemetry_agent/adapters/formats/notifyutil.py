# SPDX-License-Identifier: Apache-2.0
"""`notifyutil -g com.apple.system.thermalpressurelevel`: 0 to 4 is Nominal, Moderate, Heavy, Trapping, Sleeping.

Source: OSThermalNotification.h. A failure is printed on standard output, with exit code 0 (`…: Failed with code 9`); it is
missing, not a cool machine.
"""

from __future__ import annotations

import re

from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of
from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import FAILED, LEVEL, Partial

NAME = "notifyutil"

_LINE = re.compile(
    r"^(?:.{0,40} )?com\.apple\.system\.thermalpressurelevel"
    r"(?: (?P<level>\d{1,20})|:? ?Failed with code (?P<code>-?\d{1,10}))\s*$"
)


def parse(raw: bytes) -> list[Document]:
    """Return a document for each line about the thermal pressure; raises FormatError where there is none."""
    found = [_LINE.match(line) for line in text_of(raw).split("\n")]
    documents = [_document(line) for line in found if line]
    if not documents:
        raise FormatError(NAME, "no line 'com.apple.system.thermalpressurelevel <number>'")
    return documents


def _document(line: re.Match[str]) -> Document:
    rung = None if line["level"] is None else ladder.darwin(int(line["level"]))
    if rung is None:
        return Document(Partial(NAME, missing={LEVEL: FAILED}))
    return Document(Partial(NAME, {LEVEL: rung.level, "thermal.native": rung.native}))
