# SPDX-License-Identifier: Apache-2.0
"""The same over MQTT 3.1.1: python mqtt_publish.py PROJECT MODEL REQUEST_ID LABEL"""

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

HOME = Path(os.environ.get("MLOPS_HOME", ".mlops"))
URL = urlsplit(json.loads((HOME / "endpoints.json").read_text())["mqtt"])
TOKEN = json.loads((HOME / "credentials.json").read_text())["nats_token"]

project, model, request_id, label = sys.argv[1:]
now = datetime.now(timezone.utc).isoformat()
event = {
    "specversion": "1.0",
    "id": f"meter-{request_id}",
    "source": "/devices/rain-meter",
    "type": "label.recorded",
    "time": now,
    "project": project,
    "data": {
        "model": model,
        "labels": [{"request_id": request_id, "label": json.loads(label), "at": now}],
    },
}
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
client.username_pw_set("any name", TOKEN)
client.connect(URL.hostname, URL.port)
client.loop_start()
sent = client.publish(f"label/recorded/{project}", json.dumps(event), qos=1, retain=False)
sent.wait_for_publish(10)
client.disconnect()
client.loop_stop()
print("taken" if sent.is_published() else sys.exit("not taken within 10 s; is the token right?"))
