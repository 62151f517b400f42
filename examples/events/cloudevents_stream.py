# SPDX-License-Identifier: Apache-2.0
"""Read the stream with the cloudevents library: python cloudevents_stream.py TYPE PROJECT HOW_MANY"""

import json
import os
import sys
from pathlib import Path

import httpx
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
GATEWAY = json.loads((HOME / "endpoints.json").read_text())["gateway"]
TOKEN = json.loads((HOME / "credentials.json").read_text())["gateway_token"]

type_, project, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
with httpx.stream(
    "GET",
    f"{GATEWAY}/api/v1/events/stream",
    params={"type": type_, "project": project},
    headers={"Authorization": f"Bearer {TOKEN}"},
    timeout=None,
) as stream:
    print("listening", stream.raise_for_status().status_code, flush=True)
    for line in stream.iter_lines():
        if line.startswith("data:"):
            event = JSONFormat().read(CloudEvent, line.removeprefix("data:").strip())
            print(event.get_type(), event.get_extension("project"), event.get_data(), flush=True)
            left -= 1
            if not left:
                break
