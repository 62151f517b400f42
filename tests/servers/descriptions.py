# SPDX-License-Identifier: Apache-2.0
"""Descriptions of the Open Inference Protocol in OpenAPI, made fit to generate requests from; nothing is written back.

MLServer's package ships one (`dataplane.json`). The protocol's own is in no package: `OPEN_INFERENCE_REST_YAML` names
a copy of `specification/protocol/open_inference_rest.yaml` from github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.peers import Peer

YAML = "OPEN_INFERENCE_REST_YAML"
_YAML_SHA256 = "719644d1cec52d1c98268ee16f3b75d6de7f523c6686463cbf06bf79134edbb2"
# MLServer's own, in no part of the protocol.
_EXTENSIONS = ("/infer_stream", "/generate", "/generate_stream")
_PLACE = re.compile(r"\$?\{(\w+)\}")


def of_mlserver(peer: Peer, model: str) -> dict[str, Any]:
    """Return MLServer's description, asking for *model* and for one that is not there."""
    [path] = peer.folder.glob("lib/python*/site-packages/mlserver/rest/openapi/dataplane.json")
    found = json.loads(path.read_text())
    found["paths"] = {
        path: one for path, one in found["paths"].items() if not path.endswith(_EXTENSIONS)
    }
    # "bytes" is no type of OpenAPI, and a list that may hold anything says so.
    found["components"]["schemas"]["TensorData"] = {"type": "array", "items": {}}
    return _asking_for(found, model)


def of_protocol(model: str) -> dict[str, Any]:
    """Return the protocol's own description; skip where nobody gave a copy, fail where it is another one."""
    path = os.environ.get(YAML)
    if not path:
        pytest.skip(f"{YAML} names no copy of the protocol's open_inference_rest.yaml")
    text = Path(path).read_bytes()
    found = hashlib.sha256(text).hexdigest()
    assert found == _YAML_SHA256, f"{path} is another file than the one that was looked at"
    described = yaml.safe_load(text)
    described["servers"] = []
    return _asking_for(described, model)


def _asking_for(described: dict[str, Any], model: str) -> dict[str, Any]:
    """Bind names and versions: random ones would be refused and nothing else be tried."""
    paths = {_PLACE.sub(r"{\1}", path): one for path, one in described["paths"].items()}
    for one in paths.values():
        for parameter in one.get("parameters", ()):
            of_model = "model_name" in parameter["name"].lower()
            parameter["schema"] = {"type": "string", "enum": [model if of_model else "1"]}
    return {**described, "paths": paths}
