# SPDX-License-Identifier: Apache-2.0
"""Print what is said from now on, over MQTT: python mqtt_read.py TOPIC HOW_MANY, such as label/recorded/+"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
URL = urlsplit(json.loads((HOME / "endpoints.json").read_text())["mqtt"])
TOKEN = json.loads((HOME / "credentials.json").read_text())["nats_token"]
TOPIC, left = sys.argv[1], int(sys.argv[2])


def on_connect(client, data, flags, reason, properties):
    client.subscribe(TOPIC, qos=1)  # here, so that it is asked for again after every reconnect


def on_subscribe(client, data, number, reasons, properties):
    print("listening", flush=True)


def on_message(client, data, message):
    global left
    event = json.loads(message.payload)
    print(event["type"], event["project"], json.dumps(event["data"]), flush=True)
    left -= 1
    if left == 0:
        client.disconnect()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
client.username_pw_set("any name", TOKEN)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect(URL.hostname, URL.port)
client.loop_forever()
