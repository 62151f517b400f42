# SPDX-License-Identifier: Apache-2.0
"""Say that a prediction turned out true or not: python nats_publish.py PROJECT MODEL REQUEST_ID LABEL"""

import asyncio
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import nats

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
URL = json.loads((HOME / "endpoints.json").read_text())["nats"]
TOKEN = json.loads((HOME / "credentials.json").read_text())["nats_token"]


async def main(project, model, request_id, label):
    now = datetime.now(timezone.utc).isoformat()
    event = {
        "specversion": "1.0",
        "id": f"desk-{request_id}",  # the same at a retry: then it is stored once
        "source": "/tools/labelling-desk",
        "type": "label.recorded",
        "time": now,
        "project": project,
        "data": {
            "model": model,
            "labels": [{"request_id": request_id, "label": json.loads(label), "at": now}],
        },
    }
    client = await nats.connect(URL, token=TOKEN)
    stored = await client.jetstream().publish(
        f"{event['type']}.{project}",
        json.dumps(event).encode(),
        headers={"Nats-Msg-Id": event["id"]},
    )
    await client.close()
    print(f"{event['id']} stored in {stored.stream}, known before: {bool(stored.duplicate)}")


asyncio.run(main(*sys.argv[1:]))
