# SPDX-License-Identifier: Apache-2.0
"""Read a batch of predictions: rows that are not known yet, their vectors, and the class that an answer of many says."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.contracts.serving import Prediction, Vector
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.metrics import is_of_classes
from mlops.monitoring.model.vectors import Answer, Numbers, column_name
from mlops.monitoring.model.windows import Row


def fresh(turn: Turn, predictions: Sequence[Prediction]) -> list[Row]:
    """Return the rows of a batch that are not known; a retried request is logged twice under one id and counts once."""
    once = {prediction.request_id: prediction for prediction in reversed(predictions)}
    unknown = turn.page.rows.unknown(turn.key, once.keys())
    classes = is_of_classes(turn.project.evaluate.metric)
    return [
        _row(prediction, classes=classes)
        for prediction in predictions
        if prediction.request_id in unknown and once[prediction.request_id] is prediction
    ]


def _row(told: Prediction, *, classes: bool) -> Row:
    answer = None if told.answer is None else _answer(told.answer)
    return Row(
        request_id=told.request_id,
        at=told.at,
        features=told.features,
        prediction=_said(told.prediction, answer, classes=classes),
        vectors=_vectors(told),
        answer=answer,
    )


def _said(prediction: Value, answer: Answer | None, *, classes: bool) -> Value:
    if prediction is not None or answer is None:
        return prediction
    # Of a sketch the sender names the largest only where its numbers are probabilities.
    of_a_class = classes or answer.is_probabilities or answer.length is not None
    return answer.said if of_a_class else None


def _answer(vector: Vector) -> Answer:
    return Answer(vector.values, vector.length, vector.largest)


def _vectors(told: Prediction) -> dict[str, Numbers]:
    return {column_name(name, one.length): one.values for name, one in told.vectors.items()}
