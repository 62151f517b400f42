# SPDX-License-Identifier: Apache-2.0
"""A process that loads a Bento, as a replica does, and answers rows: `answer_bento.py TAG`, rows as JSON on standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

import bentoml


def written(model: Any) -> list[dict[str, Any]]:
    """Return the pieces of a text that a language model writes in a chat."""
    chat = [{"role": "user", "content": "the rain falls"}]
    wishes = {"max_tokens": 6, "temperature": 0.8, "top_p": 0.9, "stop": ["no such"], "seed": 4}
    return list(model.generate(chat, **wishes))


service = bentoml.load(sys.argv[1])
rows = json.load(sys.stdin)
one = service()
checked = service.apis["predict"].input_spec.model_validate({"rows": rows})
told = {"answers": one.predict(rows=checked.rows), "spec": one.spec}
if one.spec["task"] == "text":
    told["written"] = [written(one), written(one)]
print(json.dumps(told))  # noqa: T201 - its reply
