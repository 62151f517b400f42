# SPDX-License-Identifier: Apache-2.0
"""Pass every alert on to a web hook: python forward.py URL"""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import nats

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
URL = json.loads((HOME / "endpoints.json").read_text())["nats"]
TOKEN = json.loads((HOME / "credentials.json").read_text())["nats_token"]


async def forward(message, http):
    headers = {"Content-Type": "application/cloudevents+json"}
    try:
        (await http.post(sys.argv[1], content=message.data, headers=headers)).raise_for_status()
    except httpx.HTTPError as error:
        print(f"again in 5 s: {error!r}", flush=True)
        await message.nak(delay=5)
    else:
        await message.ack()


async def main():
    client = await nats.connect(URL, token=TOKEN)
    reader = await client.jetstream().pull_subscribe(
        "alert.raised.*", durable="forward-alerts", stream="EVENTS"
    )
    async with httpx.AsyncClient(timeout=10) as http:
        while True:
            try:
                for message in await reader.fetch(10, timeout=30):
                    await forward(message, http)
            except asyncio.TimeoutError:
                continue


asyncio.run(main())
