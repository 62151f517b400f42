# SPDX-License-Identifier: Apache-2.0
"""The BentoML service of one packed model version; `packed.json` beside it says which.

This folder stands alone (no import of the platform), so the Bento also runs under `bentoml serve` or in a container.
The platform's replica uses the instance's `answer` (and `generate`) directly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bentoml

from .packed_files import check_files
from .packed_loading import load
from .packed_rows import Answers, answers_of, rows_of
from .packed_types import answers_type, rows_type

SPEC: dict[str, Any] = json.loads((Path(__file__).parent / "packed.json").read_text())


@bentoml.service(name=SPEC["name"])
class Packed:
    """Answers rows with the model's predictions."""

    kept = bentoml.models.BentoModel(SPEC["model_tag"])

    def __init__(self) -> None:
        folder = Path(self.kept.path_of("model"))
        check_files(folder, SPEC)
        self.spec = SPEC
        model = load(folder, SPEC)
        self.answer: Answers = model.answer
        if SPEC["task"] == "text":
            self.generate = model.generate
        self._warm()

    def predict(self, rows: list[Any]) -> Any:
        """Return one prediction for each row."""
        return answers_of(self.answer(rows_of(rows, SPEC)), SPEC, len(rows))

    # BentoML shows a type of an answer that is no object only where it is a function's own.
    predict.__annotations__["return"] = answers_type(SPEC)
    predict = bentoml.api(input_spec=rows_type(SPEC))(predict)

    def _warm(self) -> None:
        # The first prediction of a model is slow; and a model that cannot answer its own example shall fail here.
        if SPEC["example"] is not None:
            self.answer(rows_of(SPEC["example"], SPEC))
