# SPDX-License-Identifier: Apache-2.0
"""Say it with the cloudevents library: python cloudevents_post.py MODE PROJECT MODEL REQUEST_ID LABEL

MODE is structured (all of the event in the body) or binary (its attributes in `ce-` headers).
"""

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import httpx
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
GATEWAY = json.loads((HOME / "endpoints.json").read_text())["gateway"]
TOKEN = json.loads((HOME / "credentials.json").read_text())["gateway_token"]

mode, project, model, request_id, label = sys.argv[1:]
now = datetime.now(timezone.utc)
event = CloudEvent(
    {
        "specversion": "1.0",
        "id": f"library-{mode}-{request_id}",
        "source": "/tools/cloudevents",
        "type": "label.recorded",
        "time": now,
        "datacontenttype": "application/json",
        "project": project,  # an extension attribute
    },
    {
        "model": model,
        "labels": [{"request_id": request_id, "label": json.loads(label), "at": now.isoformat()}],
    },
)
message = (to_structured_event if mode == "structured" else to_binary_event)(event)
answer = httpx.post(
    f"{GATEWAY}/api/v1/events",
    content=message.body,
    headers={**message.headers, "Authorization": f"Bearer {TOKEN}"},
)
print(answer.status_code, answer.text)
