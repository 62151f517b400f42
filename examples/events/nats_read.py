# SPDX-License-Identifier: Apache-2.0
"""Print what is said, each message once, also across restarts: python nats_read.py SUBJECT HOW_MANY"""

import asyncio
import json
import os
import sys
from pathlib import Path

import nats

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
URL = json.loads((HOME / "endpoints.json").read_text())["nats"]
TOKEN = json.loads((HOME / "credentials.json").read_text())["nats_token"]


async def main(subject, how_many):
    client = await nats.connect(URL, token=TOKEN)
    # The durable name is this tool's place in the stream; another tool takes another name.
    place = "reader-" + subject.replace(".", "-").replace("*", "all")
    reader = await client.jetstream().pull_subscribe(subject, durable=place, stream="EVENTS")
    seen = 0
    while seen < int(how_many):
        try:
            messages = await reader.fetch(1, timeout=5)
        except asyncio.TimeoutError:
            continue  # nothing new
        for message in messages:
            event = json.loads(message.data)
            print(event["type"], event["project"], json.dumps(event["data"]), flush=True)
            await message.ack()
            seen += 1
    await client.close()


asyncio.run(main(*sys.argv[1:]))
