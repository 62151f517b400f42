# SPDX-License-Identifier: Apache-2.0
"""Each handled message leaves one line of JSON; what came often and went well is quiet."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
from mlops.chassis import log
from mlops.contracts.monitoring import AlertResolved

log.configure("tracking")
message = AlertResolved(id="m-1", project="rain", alert_id="a-1", correlation_id="c-1")
log.handled("alert.resolved.rain", 2, message, "done", "", 0.0125)
log.handled("prediction.logged.rain", 1, message, "done", "", 0.001)
log.handled("prediction.logged.rain", 1, None, "dead", "unreadable", 0.001)
try:
    1 / 0
except ZeroDivisionError:
    log.get_logger("other").exception("went wrong", what={1, 2})
"""


def lines() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_are_json_with_service_level_and_time() -> None:
    done, dead, failed = lines()

    assert done.pop("timestamp").endswith("Z")
    assert done == {
        "event": "bus.handled",
        "service": "tracking",
        "level": "info",
        "subject": "alert.resolved.rain",
        "id": "m-1",
        "correlation_id": "c-1",
        "attempt": 2,
        "outcome": "done",
        "duration_ms": 12.5,
    }
    assert (dead["level"], dead["reason"], dead["id"]) == ("warning", "unreadable", None)
    assert "ZeroDivisionError" in failed["exception"]
