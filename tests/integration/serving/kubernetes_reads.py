# SPDX-License-Identifier: Apache-2.0
"""Reads manifests with KServe's and Kubernetes' own typed models, in an environment that has them.

Takes `[{"kind": "V1beta1InferenceService", "content": {…}}, …]` on standard input; answers each as the models write it
again. What they do not know is lost on the way; a value of the wrong type, or one that is missing, is an error.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import kserve.models
import kubernetes.client
from kserve.api_client import ApiClient

PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "ResourceQuantity": str}


def read(kind: str, content: Any) -> Any:
    """Return the model of that name; KServe's own reader does not find Kubernetes' models, which are of another make."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        return [read(listed[1], one) for one in content]
    if mapped := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {name: read(mapped[1], one) for name, one in content.items()}
    if kind in PLAIN:
        assert type(content) is PLAIN[kind], f"{content!r} is no {kind}"
        return content
    model = getattr(kserve.models, kind, None)
    if model is None:
        return getattr(kubernetes.client, kind).from_dict(content)
    given = {
        name: read(model.openapi_types[name], content[key])
        for name, key in model.attribute_map.items()
        if key in content
    }
    return model(**given)


if __name__ == "__main__":
    write = ApiClient().sanitize_for_serialization
    wished = json.load(sys.stdin)
    found = [write(read(one["kind"], one["content"])) for one in wished]
    sys.stdout.write(json.dumps(found) + "\n")
